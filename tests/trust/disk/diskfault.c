/* Lets the n-th call fail that changes something on the disk, in the files of one folder.
 *
 * Loaded with LD_PRELOAD. DISK_ROOT names the folder and DISK_PLAN a file with the plan, which all processes that
 * load this share, and count in: so the n-th is the n-th of all of them. A process may also name both by itself,
 * with disk_fault_begin. Counted are opening for writing, making a folder, writing, syncing, truncating, renaming.
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
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

/* As `faulty.py` writes and reads it. */
struct plan {
    uint64_t first;          /* The number of the first call that fails, from 1; 0 for none. */
    uint64_t last;           /* That of the last one. */
    uint64_t error;          /* errno; 0 to write only half of what is to be written. */
    atomic_uint_fast64_t calls;  /* How many there were. */
    atomic_uint_fast64_t failed; /* How many of them failed. */
    char name[32];           /* What the first that failed was. */
    char path[256];          /* And of which file. */
};

static struct plan *plan;
static char root[PATH_MAX];
static size_t root_length;

#define REAL(name) ((__typeof__(&name))real(#name))

static void *real(const char *name) {
    void *found = dlsym(RTLD_NEXT, name);
    if (!found) abort();
    return found;
}

void disk_fault_begin(const char *folder, const char *path) {
    int fd;
    void *shared;
    if (!realpath(folder, root)) abort();
    root_length = strlen(root);
    fd = (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC, 0);
    if (fd < 0) abort();
    shared = mmap(NULL, sizeof *plan, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (shared == MAP_FAILED) abort();
    syscall(SYS_close, fd);
    plan = shared;
}

__attribute__((constructor)) static void begin(void) {
    const char *folder = getenv("DISK_ROOT"), *path = getenv("DISK_PLAN");
    if (folder && path) disk_fault_begin(folder, path);
}

static int below(const char *path) {
    return !strncmp(path, root, root_length) && (path[root_length] == '/' || !path[root_length]);
}

/* Whether a descriptor's file, or one at a path relative to it, is in the folder; tells its path. */
static int inside(int fd, const char *path, char *whole) {
    if (path && path[0] == '/') {
        snprintf(whole, PATH_MAX, "%s", path);
    } else {
        char link[64], folder[PATH_MAX];
        ssize_t length;
        if (fd == AT_FDCWD) snprintf(link, sizeof link, "/proc/self/cwd");
        else snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
        length = readlink(link, folder, sizeof folder - 1);
        if (length < 0) return 0;
        folder[length] = 0;
        if (path) snprintf(whole, PATH_MAX, "%.2000s/%.2000s", folder, path);
        else snprintf(whole, PATH_MAX, "%s", folder);
    }
    return below(whole);
}

/* Counts a call, and returns whether it is to fail. */
static int fails(const char *name, int fd, const char *path) {
    char whole[PATH_MAX];
    int saved = errno, result = 0;
    if (plan && inside(fd, path, whole)) {
        uint64_t number = atomic_fetch_add(&plan->calls, 1) + 1;
        if (plan->first && number >= plan->first && number <= plan->last) {
            if (!atomic_fetch_add(&plan->failed, 1)) {
                snprintf(plan->name, sizeof plan->name, "%s", name);
                snprintf(plan->path, sizeof plan->path, "%.255s", whole + root_length);
            }
            result = 1;
        }
    }
    errno = saved;
    return result;
}

/* What only writes do by half, others do not do at all. */
static int failed(void) {
    errno = plan->error ? (int)plan->error : EIO;
    return -1;
}

#define MODE(flags)                                   \
    mode_t mode = 0;                                  \
    if ((flags) & (O_CREAT | __O_TMPFILE)) {          \
        va_list rest;                                 \
        va_start(rest, flags);                        \
        mode = va_arg(rest, mode_t);                  \
        va_end(rest);                                 \
    }

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR))

int open(const char *path, int flags, ...) {
    MODE(flags)
    if (WRITES(flags) && fails("open", AT_FDCWD, path)) return failed();
    return REAL(open)(path, flags, mode);
}

int open64(const char *path, int flags, ...) {
    MODE(flags)
    if (WRITES(flags) && fails("open", AT_FDCWD, path)) return failed();
    return REAL(open64)(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...) {
    MODE(flags)
    if (WRITES(flags) && fails("open", dir, path)) return failed();
    return REAL(openat)(dir, path, flags, mode);
}

int openat64(int dir, const char *path, int flags, ...) {
    MODE(flags)
    if (WRITES(flags) && fails("open", dir, path)) return failed();
    return REAL(openat64)(dir, path, flags, mode);
}

ssize_t write(int fd, const void *data, size_t length) {
    if (!fails("write", fd, NULL)) return REAL(write)(fd, data, length);
    return plan->error || length < 2 ? failed() : REAL(write)(fd, data, length / 2);
}

ssize_t pwrite(int fd, const void *data, size_t length, off_t offset) {
    if (!fails("pwrite", fd, NULL)) return REAL(pwrite)(fd, data, length, offset);
    return plan->error || length < 2 ? failed() : REAL(pwrite)(fd, data, length / 2, offset);
}

ssize_t pwrite64(int fd, const void *data, size_t length, off64_t offset) {
    if (!fails("pwrite", fd, NULL)) return REAL(pwrite64)(fd, data, length, offset);
    return plan->error || length < 2 ? failed() : REAL(pwrite64)(fd, data, length / 2, offset);
}

/* Of several parts the first by half. */
ssize_t writev(int fd, const struct iovec *parts, int count) {
    if (!fails("writev", fd, NULL)) return REAL(writev)(fd, parts, count);
    return plan->error || !count ? failed() : REAL(write)(fd, parts->iov_base, parts->iov_len / 2);
}

ssize_t pwritev(int fd, const struct iovec *parts, int count, off_t offset) {
    if (!fails("pwritev", fd, NULL)) return REAL(pwritev)(fd, parts, count, offset);
    return plan->error || !count ? failed() : REAL(pwrite)(fd, parts->iov_base, parts->iov_len / 2, offset);
}

ssize_t pwritev64(int fd, const struct iovec *parts, int count, off64_t offset) {
    if (!fails("pwritev", fd, NULL)) return REAL(pwritev64)(fd, parts, count, offset);
    return plan->error || !count ? failed() : REAL(pwrite)(fd, parts->iov_base, parts->iov_len / 2, offset);
}

int fsync(int fd) { return fails("fsync", fd, NULL) ? failed() : REAL(fsync)(fd); }

int fdatasync(int fd) { return fails("fdatasync", fd, NULL) ? failed() : REAL(fdatasync)(fd); }

int ftruncate(int fd, off_t length) {
    return fails("ftruncate", fd, NULL) ? failed() : REAL(ftruncate)(fd, length);
}

int ftruncate64(int fd, off64_t length) {
    return fails("ftruncate", fd, NULL) ? failed() : REAL(ftruncate64)(fd, length);
}

int mkdir(const char *path, mode_t mode) {
    return fails("mkdir", AT_FDCWD, path) ? failed() : REAL(mkdir)(path, mode);
}

int rename(const char *from, const char *to) {
    return fails("rename", AT_FDCWD, from) ? failed() : REAL(rename)(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to) {
    return fails("rename", from_dir, from) ? failed() : REAL(renameat)(from_dir, from, to_dir, to);
}
