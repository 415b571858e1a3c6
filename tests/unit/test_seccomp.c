#include <criterion/criterion.h>
#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "exec/seccomp_filter.h"

/* Criterion runs each test in a process of its own: the filter dies with it. */
static void
enter_filter(void)
{
	static struct sock_filter code[4096];
	struct err e = { 0 };
	int fd = seccomp_filter_open(&e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	ssize_t n = pread(fd, code, sizeof(code), 0);

	cr_assert_gt(n, 0);
	cr_assert_lt(n, (ssize_t)sizeof(code));
	struct sock_fprog prog = {
		(unsigned short)((size_t)n / sizeof(code[0])), code
	};

	close(fd);
	cr_assert_eq(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	cr_assert_eq(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &prog), 0);
}

#define assert_fails(error, call)                                                  \
	do {                                                                       \
		errno = 0;                                                         \
		cr_assert_eq((call), -1);                                          \
		cr_assert_eq(errno, (error), "errno %d", errno);                   \
	} while (0)

Test(seccomp, new_user_namespaces_are_refused)
{
	enter_filter();
	assert_fails(EPERM, unshare(CLONE_NEWUSER));
	assert_fails(EPERM, unshare(CLONE_NEWUSER | CLONE_NEWNS));
	assert_fails(EPERM, syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0));
	assert_fails(ENOSYS, syscall(SYS_clone3, NULL, 0));
	assert_fails(EPERM, setns(0, 0));
}

Test(seccomp, other_flags_of_unshare_are_left_to_the_kernel)
{
	enter_filter();
	cr_assert_eq(unshare(CLONE_FILES), 0);
}

Test(seccomp, mounts_and_kernel_interfaces_are_refused)
{
	static const long calls[] = {
		SYS_mount, SYS_umount2, SYS_pivot_root, SYS_move_mount, SYS_open_tree,
		SYS_fsopen, SYS_fsconfig, SYS_fsmount, SYS_fspick, 442, SYS_keyctl,
		SYS_add_key, SYS_request_key, SYS_bpf, SYS_perf_event_open,
		SYS_userfaultfd, SYS_io_uring_setup, SYS_io_uring_enter,
		SYS_io_uring_register, SYS_kexec_load, SYS_init_module,
		SYS_finit_module, SYS_delete_module, SYS_swapon, SYS_swapoff,
		SYS_reboot, SYS_acct, SYS_quotactl,
	};

	enter_filter();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
		errno = 0;
		cr_assert_eq(syscall(calls[i], -1, 0, 0, 0, 0), -1);
		cr_assert_eq(errno, EPERM, "call %ld: errno %d", calls[i], errno);
	}
}

Test(seccomp, terminals_take_no_forged_input)
{
	enter_filter();
	assert_fails(EPERM, ioctl(0, TIOCSTI, "x"));
	assert_fails(EPERM, ioctl(0, TIOCLINUX, "x"));
	/* The kernel ignores the upper half of the number. */
	assert_fails(EPERM, syscall(SYS_ioctl, 0, TIOCSTI | 1ul << 32, "x"));
}

Test(seccomp, usual_ioctls_reach_the_kernel)
{
	int n;

	enter_filter();
	assert_fails(EBADF, ioctl(-1, FIONREAD, &n));
}

Test(seccomp, only_usual_socket_families_can_be_had)
{
	/* Among them the neighbours of the allowed ones. */
	static const int denied[] = { 3, 9, 11, 15, AF_PACKET, AF_BLUETOOTH, AF_ALG,
				      AF_VSOCK };
	static const int allowed[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

	enter_filter();
	for (size_t i = 0; i < sizeof(denied) / sizeof(denied[0]); i++)
		assert_fails(EAFNOSUPPORT,
			     syscall(SYS_socket, denied[i], SOCK_RAW, 0));
	for (size_t i = 0; i < sizeof(allowed) / sizeof(allowed[0]); i++) {
		int fd = socket(allowed[i], allowed[i] == AF_NETLINK ? SOCK_RAW
								     : SOCK_STREAM,
				0);

		/* A kernel without IPv6 says so itself. */
		cr_assert(fd >= 0 || allowed[i] == AF_INET6, "family %d: errno %d",
			  allowed[i], errno);
		if (fd >= 0)
			close(fd);
	}
	assert_fails(EAFNOSUPPORT,
		     syscall(SYS_socket, AF_INET | 1ul << 32, SOCK_STREAM, 0));
}

Test(seccomp, processes_threads_and_debuggers_work)
{
	enter_filter();
	pid_t pid = fork();

	if (!pid)
		_exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? 1 : 0);
	int status;

	cr_assert_eq(waitpid(pid, &status, 0), pid);
	cr_assert(WIFEXITED(status));
	cr_assert_eq(WEXITSTATUS(status), 0);
}

#ifdef __x86_64__
/* System call of the 32-bit instruction set; -errno as the kernel gives it. */
static long
call32(long nr, long a, long b)
{
	long r;

	__asm__ volatile("int $0x80"
			 : "=a"(r)
			 : "a"(nr), "b"(a), "c"(b), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)r;
}

Test(seccomp, the_other_instruction_set_is_no_way_around)
{
	enum { NR32_UNSHARE = 310, NR32_SOCKET = 359, NR32_SOCKETCALL = 102,
	       NR32_MOUNT = 21, NR32_GETPID = 20 };

	enter_filter();
	if (call32(NR32_GETPID, 0, 0) != getpid())
		cr_skip_test("this kernel has no 32-bit calls");
	cr_assert_eq(call32(NR32_UNSHARE, CLONE_NEWUSER, 0), -EPERM);
	cr_assert_eq(call32(NR32_MOUNT, 0, 0), -EPERM);
	cr_assert_eq(call32(NR32_SOCKET, AF_VSOCK, SOCK_STREAM), -EAFNOSUPPORT);
	cr_assert_eq(call32(NR32_SOCKETCALL, 1, 0), -ENOSYS);
}

Test(seccomp, x32_calls_do_not_exist)
{
	enter_filter();
	assert_fails(ENOSYS, syscall(0x40000000 | SYS_unshare, CLONE_NEWUSER));
}
#endif

Test(seccomp, the_filter_cannot_be_changed_any_more)
{
	struct err e = { 0 };
	int fd = seccomp_filter_open(&e);

	cr_assert_geq(fd, 0, "%s", e.msg);
	assert_fails(EPERM, ftruncate(fd, 0));
	assert_fails(EPERM, (int)write(fd, "x", 1));
	close(fd);
}
