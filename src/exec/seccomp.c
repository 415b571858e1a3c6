#include "seccomp_filter.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <seccomp.h>
#include <stdint.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "slipway/mem.h"

#define LOW32 0xffffffffull

static const char *const denied[] = {
	/* keys, tracing of the kernel, memory tricks */
	"keyctl", "add_key", "request_key", "bpf", "perf_event_open", "userfaultfd",
	"io_uring_setup", "io_uring_enter", "io_uring_register", "syslog",
	"lookup_dcookie", "open_by_handle_at", "kcmp",
	/* mounts and namespaces */
	"mount", "umount", "umount2", "pivot_root", "move_mount", "open_tree", "fsopen",
	"fsconfig", "fsmount", "fspick", "mount_setattr", "setns",
	/* the machine */
	"kexec_load", "kexec_file_load", "init_module", "finit_module", "create_module",
	"delete_module", "query_module", "get_kernel_syms", "swapon", "swapoff",
	"reboot", "acct", "quotactl", "quotactl_fd", "nfsservctl", "iopl", "ioperm",
	"vm86", "vm86old", "uselib", "_sysctl", "settimeofday", "stime",
	"clock_settime", "clock_settime64", "adjtimex", "clock_adjtime",
	"clock_adjtime64",
};

/* Families other than these are rare, and rarely tested. */
static const int families[] = { AF_UNIX, AF_INET, AF_INET6, AF_NETLINK };

static int
deny_names(scmp_filter_ctx f)
{
	int r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(denied); i++) {
		int nr = seccomp_syscall_resolve_name(denied[i]);

		/* Unknown to this library: unknown to the machines of its time. */
		if (nr != __NR_SCMP_ERROR)
			r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), nr, 0);
	}
	return r;
}

static int
deny_user_namespaces(scmp_filter_ctx f)
{
	const uint32_t deny = SCMP_ACT_ERRNO(EPERM);
	const struct scmp_arg_cmp newuser =
		SCMP_A0(SCMP_CMP_MASKED_EQ, CLONE_NEWUSER, CLONE_NEWUSER);
	int r = seccomp_rule_add(f, deny, SCMP_SYS(unshare), 1, newuser);

	if (!r)
		r = seccomp_rule_add(f, deny, SCMP_SYS(clone), 1, newuser);
	/* Its flags lie in memory, out of a filter's sight. C libraries fall back. */
	if (!r)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3), 0);
	return r;
}

static int
deny_terminal_input(scmp_filter_ctx f)
{
	static const unsigned requests[] = { TIOCSTI, TIOCLINUX };
	int r = 0;

	/* The kernel looks at 32 bits only: so must the comparison. */
	for (size_t i = 0; !r && i < ARRAY_LEN(requests); i++)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(EPERM), SCMP_SYS(ioctl), 1,
				     SCMP_A1(SCMP_CMP_MASKED_EQ, LOW32, requests[i]));
	return r;
}

static int
deny_sockets(scmp_filter_ctx f)
{
	const uint32_t deny = SCMP_ACT_ERRNO(EAFNOSUPPORT);
	int last = 0, r = 0;

	for (size_t i = 0; !r && i < ARRAY_LEN(families); i++) {
		for (int af = last + 1; !r && af < families[i]; af++)
			r = seccomp_rule_add(f, deny, SCMP_SYS(socket), 1,
					     SCMP_A0(SCMP_CMP_EQ, (unsigned)af, 0));
		last = families[i];
	}
	/* Compared as 64 bits: garbage in the upper half is refused, too. */
	if (!r)
		r = seccomp_rule_add(f, deny, SCMP_SYS(socket), 1,
				     SCMP_A0(SCMP_CMP_GT, (unsigned)last, 0));
	return r;
}

/* The machine's other instruction set would be a way around. */
static int
add_architectures(scmp_filter_ctx f)
{
	uint32_t other = 0;
	int r;

	if (seccomp_arch_native() == SCMP_ARCH_X86_64)
		other = SCMP_ARCH_X86;
	else if (seccomp_arch_native() == SCMP_ARCH_AARCH64)
		other = SCMP_ARCH_ARM;
	if (!other)
		return 0;
	r = seccomp_arch_add(f, other);
	return r == -EEXIST ? 0 : r;
}

static int
fill(scmp_filter_ctx f)
{
	int r = seccomp_attr_set(f, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_ERRNO(ENOSYS));

	if (!r)
		r = add_architectures(f);
	if (!r)
		r = deny_names(f);
	if (!r)
		r = deny_user_namespaces(f);
	if (!r)
		r = deny_terminal_input(f);
	if (!r)
		r = deny_sockets(f);
	/* 32-bit x86 hides socket() in here, arguments in memory; its C libraries use
	 * the direct call when this one is missing. */
	if (!r && seccomp_arch_native() == SCMP_ARCH_X86_64)
		r = seccomp_rule_add(f, SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(socketcall),
				     0);
	if (!r)
		r = seccomp_attr_set(f, SCMP_FLTATR_CTL_OPTIMIZE, 2);
	return r;
}

int
seccomp_filter_open(struct err *e)
{
	cleanup_close int fd = memfd_create("slipway-seccomp",
					    MFD_CLOEXEC | MFD_ALLOW_SEALING);

	if (fd < 0)
		return err_sys(e, "memory file");
	scmp_filter_ctx f = seccomp_init(SCMP_ACT_ALLOW);

	if (!f)
		return err_set(e, ERR_INTERNAL, "seccomp filter: out of memory");
	int r = fill(f);

	if (!r)
		r = seccomp_export_bpf(f, fd);
	seccomp_release(f);
	if (r) {
		errno = -r;
		return err_sys(e, "seccomp filter");
	}
	if (fcntl(fd, F_ADD_SEALS,
		  F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE))
		return err_sys(e, "seccomp filter");
	return steal_fd(&fd);
}
