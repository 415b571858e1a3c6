#include "spoolw.h"

#include <errno.h>
#include <sys/stat.h>
#include <sys/uio.h>

#include "util.h"

static bool
spoolw_write(struct spoolw *w, struct iovec *iov, int n)
{
	while (n > 0 && !w->failed) {
		ssize_t done = writev(w->fd, iov, n);

		if (done < 0) {
			if (errno != EINTR)
				w->failed = errno;
			continue;
		}
		while (n > 0 && (size_t)done >= iov->iov_len) {
			done -= (ssize_t)iov->iov_len;
			iov++;
			n--;
		}
		if (n > 0) {
			iov->iov_base = (uint8_t *)iov->iov_base + done;
			iov->iov_len -= (size_t)done;
		}
	}
	return !w->failed;
}

void
spoolw_init(struct spoolw *w, int fd)
{
	uint8_t head[SPOOL_HEADER_LEN];
	struct iovec iov = { head, sizeof(head) };
	struct stat st;

	*w = (struct spoolw){ .fd = fd };
	if (fstat(fd, &st) < 0) {
		w->failed = errno;
		return;
	}
	if (!S_ISREG(st.st_mode) || st.st_size > 0)
		return;
	spool_header_encode(head);
	spoolw_write(w, &iov, 1);
}

bool
spoolw_frames(struct spoolw *w, const struct spoolw_frame *frames, size_t n)
{
	uint8_t heads[SPOOLW_BATCH][FRAME_HEADER_LEN];
	struct iovec iov[2 * SPOOLW_BATCH];
	uint64_t now = util_wall_ms();
	int niov = 0;

	for (size_t i = 0; i < n && i < SPOOLW_BATCH; i++) {
		const struct frame f = {
			.len = (uint32_t)frames[i].len,
			.type = frames[i].type,
			.flags = frames[i].flags,
			.step = frames[i].step,
			.time_ms = now,
		};

		frame_encode(&f, heads[i]);
		iov[niov++] = (struct iovec){ heads[i], FRAME_HEADER_LEN };
		if (f.len)
			iov[niov++] = (struct iovec){ (void *)frames[i].payload,
						      f.len };
	}
	return spoolw_write(w, iov, niov);
}

bool
spoolw_frame(struct spoolw *w, const struct spoolw_frame *frame)
{
	return spoolw_frames(w, frame, 1);
}
