/* A wall clock that tests move under a running process: loaded before libc, it answers for CLOCK_REALTIME.

   WALLCLOCK_FILE names a file of 64-bit numbers that all processes map. The other clocks are the machine's. */

#define _GNU_SOURCE
#include <fcntl.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

struct control {
    _Atomic int64_t offset_us; /* added to the machine's time */
    _Atomic int64_t leap_us;   /* each call jumps by up to so much, either way; 0 for not at all */
    _Atomic int64_t drift_ppm; /* faster, or slower, by so many millionths, since: */
    _Atomic int64_t since_us;  /* by the monotonic clock */
    _Atomic int64_t calls;     /* how often it was asked for the time */
};

static struct control *control;

__attribute__((constructor)) static void map_control(void) {
    const char *path = getenv("WALLCLOCK_FILE");
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        abort();
    control = mmap(NULL, sizeof *control, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (control == MAP_FAILED)
        abort();
    close(fd);
}

static int64_t machine_us(clockid_t id) {
    struct timespec now;
    syscall(SYS_clock_gettime, id, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t wall_us(void) {
    int64_t us = machine_us(CLOCK_REALTIME);
    if (!control) /* before the constructor has run */
        return us;
    uint64_t call = (uint64_t)atomic_fetch_add(&control->calls, 1);
    int64_t leap_us = atomic_load(&control->leap_us);
    int64_t drift_ppm = atomic_load(&control->drift_ppm);
    us += atomic_load(&control->offset_us);
    if (drift_ppm)
        us += (machine_us(CLOCK_MONOTONIC) - atomic_load(&control->since_us)) * drift_ppm / 1000000;
    if (leap_us) {
        /* splitmix64: each call another number, the same ones in each run */
        uint64_t mixed = (call + 1) * 0x9E3779B97F4A7C15u;
        mixed = (mixed ^ (mixed >> 30)) * 0xBF58476D1CE4E5B9u;
        mixed = (mixed ^ (mixed >> 27)) * 0x94D049BB133111EBu;
        us += (int64_t)((mixed ^ (mixed >> 31)) % (uint64_t)(2 * leap_us)) - leap_us;
    }
    return us < 0 ? 0 : us; /* the kernel takes no time before 1970 either */
}

int clock_gettime(clockid_t id, struct timespec *now) {
    if (id != CLOCK_REALTIME && id != CLOCK_REALTIME_COARSE)
        return (int)syscall(SYS_clock_gettime, id, now);
    int64_t us = wall_us();
    now->tv_sec = us / 1000000;
    now->tv_nsec = us % 1000000 * 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict now, void *restrict zone) {
    (void)zone;
    int64_t us = wall_us();
    now->tv_sec = us / 1000000;
    now->tv_usec = us % 1000000;
    return 0;
}

time_t time(time_t *now) {
    time_t s = wall_us() / 1000000;
    if (now)
        *now = s;
    return s;
}

int timespec_get(struct timespec *now, int base) {
    return base == TIME_UTC && clock_gettime(CLOCK_REALTIME, now) == 0 ? base : 0;
}
