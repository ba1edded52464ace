/* Writes down what a process does to the files of one folder, in the order in which it does it.
 *
 * Loaded with LD_PRELOAD. POWER_ROOT names the folder, POWER_LOG the log, POWER_SYNC_US how long the disk takes
 * to flush. Each record goes into the log with one call, appended: its place is its number, among those of all
 * processes and threads. A write is told before it is made, a flush when it begins and again when it is over;
 * so what the log calls durable is durable, and what it calls begun may or may not have reached the disk.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { OPEN = 1, WRITE, WRITTEN, SYNC_BEGIN, SYNC_END, TRUNCATE, RENAME, MKDIR, UNLINK, RMDIR };
enum { FDS = 65536 };

/* As `trace.py` reads it. */
struct record {
    uint32_t kind, flags;
    uint64_t file, offset, token, length;
};

static int log_fd = -1;
static char root[PATH_MAX];
static size_t root_length;
static long sync_us;
static atomic_uint_fast64_t last_file, last_token;
/* Of each descriptor: the number of the file as it was opened, 0 for none of ours; whether it writes through. */
static uint64_t files[FDS];
static char through[FDS];

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("POWER_ROOT"), *path = getenv("POWER_LOG"), *delay = getenv("POWER_SYNC_US");
    if (!folder || !path || !realpath(folder, root)) return;
    root_length = strlen(root);
    sync_us = delay ? atol(delay) : 0;
    log_fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
}

/* A recording with a gap proves nothing: better none. */
static void tell(uint32_t kind, uint32_t flags, uint64_t file, uint64_t offset, uint64_t token,
                 const void *data, size_t length) {
    struct record head = {kind, flags, file, offset, token, length};
    struct iovec parts[2] = {{&head, sizeof head}, {(void *)data, length}};
    long wrote = syscall(SYS_writev, log_fd, parts, length ? 2 : 1);
    if (wrote != (long)(sizeof head + length)) abort();
}

/* Returns whether a path is that of the folder or leads into it, and its part below the folder. */
static int inside(int dir, const char *path, char *below) {
    char whole[2 * PATH_MAX], link[64];
    if (log_fd < 0) return 0;
    if (path[0] == '/') {
        snprintf(whole, sizeof whole, "%s", path);
    } else {
        char folder[PATH_MAX];
        ssize_t length;
        if (dir == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", dir);
        length = readlink(link, folder, sizeof folder - 1);
        if (length < 0) return 0;
        folder[length] = 0;
        snprintf(whole, sizeof whole, "%s/%s", folder, path);
    }
    if (strncmp(whole, root, root_length) || (whole[root_length] && whole[root_length] != '/')) return 0;
    snprintf(below, PATH_MAX, "%s", whole + root_length + (whole[root_length] == '/'));
    return 1;
}

static void opened(int fd, int dir, const char *path, int flags) {
    char below[PATH_MAX];
    int saved = errno;
    if (fd >= 0 && fd < FDS && inside(dir, path, below)) {
        files[fd] = atomic_fetch_add(&last_file, 1) + 1;
        through[fd] = (flags & O_DSYNC) != 0;
        tell(OPEN, (uint32_t)flags, files[fd], 0, 0, below, strlen(below));
    }
    errno = saved;
}

static uint64_t file_of(int fd) { return fd >= 0 && fd < FDS ? files[fd] : 0; }

#define MODE(flags)                                   \
    mode_t mode = 0;                                  \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {          \
        va_list rest;                                 \
        va_start(rest, flags);                        \
        mode = va_arg(rest, mode_t);                  \
        va_end(rest);                                 \
    }

int open(const char *path, int flags, ...) {
    MODE(flags)
    int fd = REAL(open)(path, flags, mode);
    opened(fd, AT_FDCWD, path, flags);
    return fd;
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    int fd = REAL(open64)(path, flags, mode);
    opened(fd, AT_FDCWD, path, flags);
    return fd;
}

int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int fd = REAL(openat)(dir, path, flags, mode);
    opened(fd, dir, path, flags);
    return fd;
}

int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    int fd = REAL(openat64)(dir, path, flags, mode);
    opened(fd, dir, path, flags);
    return fd;
}

int close(int fd) {
    if (file_of(fd)) files[fd] = 0;
    return REAL(close)(fd);
}

/* A write of parts: told as one, and made at its place. */
static ssize_t writing(int fd, const struct iovec *parts, int count, off_t offset, int moves) {
    size_t length = 0, done = 0;
    char *whole;
    ssize_t wrote;
    for (int i = 0; i < count; i++) length += parts[i].iov_len;
    whole = malloc(length ? length : 1);
    if (!whole) abort();
    for (int i = 0; i < count; done += parts[i++].iov_len) memcpy(whole + done, parts[i].iov_base, parts[i].iov_len);
    if (moves) offset = lseek(fd, 0, fcntl(fd, F_GETFL) & O_APPEND ? SEEK_END : SEEK_CUR);
    uint64_t file = files[fd], token = atomic_fetch_add(&last_token, 1) + 1;
    tell(WRITE, (uint32_t)through[fd], file, (uint64_t)offset, token, whole, length);
    wrote = moves ? REAL(write)(fd, whole, length) : REAL(pwrite)(fd, whole, length, offset);
    if (wrote != (ssize_t)length) abort();
    free(whole);
    if (through[fd]) {
        if (sync_us) usleep((useconds_t)sync_us);
        tell(WRITTEN, 0, file, 0, token, NULL, 0);
    }
    return wrote;
}

ssize_t write(int fd, const void *data, size_t length) {
    struct iovec part = {(void *)data, length};
    return file_of(fd) ? writing(fd, &part, 1, 0, 1) : REAL(write)(fd, data, length);
}

ssize_t writev(int fd, const struct iovec *parts, int count) {
    return file_of(fd) ? writing(fd, parts, count, 0, 1) : REAL(writev)(fd, parts, count);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    struct iovec part = {(void *)data, length};
    return file_of(fd) ? writing(fd, &part, 1, offset, 0) : REAL(pwrite)(fd, data, length, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    struct iovec part = {(void *)data, length};
    return file_of(fd) ? writing(fd, &part, 1, offset, 0) : REAL(pwrite64)(fd, data, length, offset);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    return file_of(fd) ? writing(fd, parts, count, offset, 0) : REAL(pwritev)(fd, parts, count, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    return file_of(fd) ? writing(fd, parts, count, offset, 0) : REAL(pwritev64)(fd, parts, count, offset);
}

static int truncating(int fd, off_t length, int result) {
    if (file_of(fd) && result == 0) tell(TRUNCATE, 0, files[fd], (uint64_t)length, 0, NULL, 0);
    return result;
}

int ftruncate(int fd, off_t length) { return truncating(fd, length, REAL(ftruncate)(fd, length)); }

int ftruncate64(int fd, off64_t length) { return truncating(fd, length, REAL(ftruncate64)(fd, length)); }

static int syncing(int fd, int (*flush)(int)) {
    uint64_t file = file_of(fd), token = atomic_fetch_add(&last_token, 1) + 1;
    int result;
    if (!file) return flush(fd);
    tell(SYNC_BEGIN, 0, file, 0, token, NULL, 0);
    if (sync_us) usleep((useconds_t)sync_us);
    result = flush(fd);
    if (result == 0) tell(SYNC_END, 0, file, 0, token, NULL, 0);
    return result;
}

int fsync(int fd) { return syncing(fd, REAL(fsync)); }

int fdatasync(int fd) { return syncing(fd, REAL(fdatasync)); }

static int named(int result, uint32_t kind, int dir, const char *path) {
    char below[PATH_MAX];
    int saved = errno;
    if (result == 0 && inside(dir, path, below)) tell(kind, 0, 0, 0, 0, below, strlen(below));
    errno = saved;
    return result;
}

int mkdir(const char *path, mode_t mode) { return named(REAL(mkdir)(path, mode), MKDIR, AT_FDCWD, path); }

int mkdirat(int dir, const char *path, mode_t mode) {
    return named(REAL(mkdirat)(dir, path, mode), MKDIR, dir, path);
}

int unlink(const char *path) { return named(REAL(unlink)(path), UNLINK, AT_FDCWD, path); }

int unlinkat(int dir, const char *path, int flags) {
    return named(REAL(unlinkat)(dir, path, flags), flags & AT_REMOVEDIR ? RMDIR : UNLINK, dir, path);
}

int rmdir(const char *path) { return named(REAL(rmdir)(path), RMDIR, AT_FDCWD, path); }

static int renamed(int result, int from_dir, const char *from, int to_dir, const char *to) {
    char both[2 * PATH_MAX];
    int saved = errno;
    if (result == 0 && inside(from_dir, from, both)) {
        size_t length = strlen(both) + 1;
        if (!inside(to_dir, to, both + length)) abort();
        tell(RENAME, 0, 0, 0, 0, both, length + strlen(both + length));
    }
    errno = saved;
    return result;
}

int rename(const char *from, const char *to) {
    return renamed(REAL(rename)(from, to), AT_FDCWD, from, AT_FDCWD, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return renamed(REAL(renameat)(from_dir, from, to_dir, to), from_dir, from, to_dir, to);
}
