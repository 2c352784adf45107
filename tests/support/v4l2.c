/* A camera for machines without one: preloaded, it answers what the kernel would answer about
 * /dev/video0, with pictures from a file. What the test wants of it stands in the environment:
 *   FAKE_CAMERA_PICTURES  raw pictures, or JPEG pictures one after the other; they loop
 *   FAKE_CAMERA_FORMAT    YUYV, NV12 or MJPG
 *   FAKE_CAMERA_SIZE      such as 640x480
 *   FAKE_CAMERA_COLOURS   colorspace and quantization, as numbers
 *   FAKE_CAMERA_STATE     a file: "there", "gone", "busy", "denied"; may change at any time
 * Everything else is handed on. */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/videodev2.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { FPS = 30, MOST_OPEN = 8, MOST_BUFFERS = 16 };

struct camera {
    int fd;
    unsigned buffers, queued[MOST_BUFFERS], first, count, sequence;
    int filming;
    struct timespec began_at;
    size_t read, mapped;
    unsigned char *place;
};

static struct camera cameras[MOST_OPEN];
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;

static long kernel(long number, long a, long b, long c, long d, long e, long f) {
    static long (*real)(long, ...);
    if (!real) real = (long (*)(long, ...))dlsym(RTLD_NEXT, "syscall");
    return real(number, a, b, c, d, e, f);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

static int state_is(const char *word) {
    char text[16] = {0};
    int fd = kernel(SYS_openat, AT_FDCWD, (long)getenv("FAKE_CAMERA_STATE"), O_RDONLY, 0, 0, 0);
    if (fd < 0) return 0;
    ssize_t length = read(fd, text, sizeof text - 1);
    kernel(SYS_close, fd, 0, 0, 0, 0, 0);
    return length > 0 && !strncmp(text, word, strlen(word));
}

static unsigned fourcc(void) {
    const char *name = getenv("FAKE_CAMERA_FORMAT");
    return v4l2_fourcc(name[0], name[1], name[2], name[3]);
}

static void size(unsigned *width, unsigned *height) {
    sscanf(getenv("FAKE_CAMERA_SIZE"), "%ux%u", width, height);
}

static size_t picture_bytes(void) {
    unsigned width, height;
    size(&width, &height);
    return fourcc() == V4L2_PIX_FMT_NV12 ? width * height * 3 / 2 : width * height * 2;
}

static size_t buffer_bytes(void) { return (picture_bytes() + 4095) & ~4095ul; }

static struct camera *camera_of(int fd) {
    for (int at = 0; at < MOST_OPEN; at++)
        if (cameras[at].fd == fd && fd > 0) return &cameras[at];
    return NULL;
}

static int open_camera(void) {
    if (state_is("gone")) return refuse(ENOENT);
    if (state_is("denied")) return refuse(EACCES);
    pthread_mutex_lock(&lock);
    int fd = -1;
    for (int at = 0; at < MOST_OPEN && fd < 0; at++)
        if (cameras[at].fd == 0) {
            memset(&cameras[at], 0, sizeof cameras[at]);
            cameras[at].fd = fd = memfd_create("camera", 0);
        }
    pthread_mutex_unlock(&lock);
    return fd < 0 ? refuse(EMFILE) : fd;
}

/* Makes place for the pictures, which the program will map as well. */
static int map_buffers(struct camera *camera) {
    size_t before = camera->mapped, bytes = buffer_bytes() * camera->buffers;
    if (before) munmap(camera->place, before);
    camera->mapped = bytes;
    if (!bytes) return 0;
    if (ftruncate(camera->fd, bytes)) return -1;
    camera->place = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, camera->fd, 0);
    return camera->place == MAP_FAILED ? refuse(ENOMEM) : 0;
}

/* Puts the next picture into the buffer's place, which the program has mapped. */
static size_t take_picture(struct camera *camera, unsigned index) {
    static unsigned char *pictures;
    static size_t length;
    if (!pictures) {
        struct stat about;
        int fd = kernel(SYS_openat, AT_FDCWD, (long)getenv("FAKE_CAMERA_PICTURES"), O_RDONLY, 0, 0, 0);
        fstat(fd, &about);
        length = about.st_size;
        pictures = mmap(NULL, length, PROT_READ, MAP_PRIVATE, fd, 0);
    }
    size_t from = camera->read, bytes = picture_bytes();
    if (fourcc() == V4L2_PIX_FMT_MJPEG) {
        unsigned char *end = from + 2 < length
            ? memmem(pictures + from + 2, length - from - 2, "\xff\xd9", 2) : NULL;
        if (!end) return camera->read = 0, take_picture(camera, index);
        bytes = end + 2 - (pictures + from);
    } else if (from + bytes > length) {
        return camera->read = 0, take_picture(camera, index);
    }
    camera->read = from + bytes;
    memcpy(camera->place + index * buffer_bytes(), pictures + from, bytes);
    return bytes;
}

static int dequeue(struct camera *camera, struct v4l2_buffer *buffer) {
    if (!camera->filming || !camera->count) return refuse(EINVAL);
    unsigned long long due = camera->began_at.tv_sec * 1000000000ull + camera->began_at.tv_nsec
        + (camera->sequence + 1ull) * 1000000000ull / FPS;
    struct timespec at = {due / 1000000000ull, due % 1000000000ull};
    while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL) == EINTR) {}
    if (state_is("gone")) return refuse(ENODEV);
    buffer->index = camera->queued[camera->first];
    camera->first = (camera->first + 1) % MOST_BUFFERS;
    camera->count--;
    buffer->bytesused = take_picture(camera, buffer->index);
    buffer->flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
    buffer->sequence = camera->sequence++;
    buffer->timestamp.tv_sec = at.tv_sec;
    buffer->timestamp.tv_usec = at.tv_nsec / 1000;
    buffer->length = buffer_bytes();
    return 0;
}

static int answer(struct camera *camera, unsigned request, void *about) {
    unsigned width, height;
    size(&width, &height);
    switch (request) {
    case VIDIOC_QUERYCAP: {
        struct v4l2_capability *can = about;
        memset(can, 0, sizeof *can);
        strcpy((char *)can->driver, "fake");
        strcpy((char *)can->card, "Test Camera");
        strcpy((char *)can->bus_info, "platform:fake");
        can->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
        can->capabilities = can->device_caps | V4L2_CAP_DEVICE_CAPS;
        return 0;
    }
    case VIDIOC_ENUM_FMT: {
        struct v4l2_fmtdesc *format = about;
        if (format->index || format->type != V4L2_BUF_TYPE_VIDEO_CAPTURE) return refuse(EINVAL);
        format->pixelformat = fourcc();
        return 0;
    }
    case VIDIOC_ENUM_FRAMESIZES: {
        struct v4l2_frmsizeenum *sizes = about;
        if (sizes->index || sizes->pixel_format != fourcc()) return refuse(EINVAL);
        sizes->type = V4L2_FRMSIZE_TYPE_DISCRETE;
        sizes->discrete.width = width;
        sizes->discrete.height = height;
        return 0;
    }
    case VIDIOC_ENUM_FRAMEINTERVALS: {
        struct v4l2_frmivalenum *rates = about;
        if (rates->index || rates->pixel_format != fourcc()) return refuse(EINVAL);
        rates->type = V4L2_FRMIVAL_TYPE_DISCRETE;
        rates->discrete.numerator = 1;
        rates->discrete.denominator = FPS;
        return 0;
    }
    case VIDIOC_G_FMT:
    case VIDIOC_S_FMT:
    case VIDIOC_TRY_FMT: {
        struct v4l2_format *format = about;
        format->fmt.pix.width = width;
        format->fmt.pix.height = height;
        format->fmt.pix.pixelformat = fourcc();
        format->fmt.pix.field = V4L2_FIELD_NONE;
        format->fmt.pix.sizeimage = picture_bytes();
        sscanf(getenv("FAKE_CAMERA_COLOURS"), "%u %u", &format->fmt.pix.colorspace,
               &format->fmt.pix.quantization);
        return 0;
    }
    case VIDIOC_G_PARM:
    case VIDIOC_S_PARM: {
        struct v4l2_streamparm *rate = about;
        memset(&rate->parm, 0, sizeof rate->parm);
        rate->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
        rate->parm.capture.timeperframe.numerator = 1;
        rate->parm.capture.timeperframe.denominator = FPS;
        return 0;
    }
    case VIDIOC_REQBUFS: {
        struct v4l2_requestbuffers *wanted = about;
        if (state_is("busy")) return refuse(EBUSY);
        if (wanted->count > MOST_BUFFERS - 1) wanted->count = MOST_BUFFERS - 1;
        camera->buffers = wanted->count;
        camera->first = camera->count = 0;
        return map_buffers(camera);
    }
    case VIDIOC_QUERYBUF: {
        struct v4l2_buffer *buffer = about;
        if (buffer->index >= camera->buffers) return refuse(EINVAL);
        buffer->m.offset = buffer->index * buffer_bytes();
        buffer->length = buffer_bytes();
        return 0;
    }
    case VIDIOC_QBUF: {
        struct v4l2_buffer *buffer = about;
        if (buffer->index >= camera->buffers) return refuse(EINVAL);
        camera->queued[(camera->first + camera->count++) % MOST_BUFFERS] = buffer->index;
        return 0;
    }
    case VIDIOC_DQBUF:
        return dequeue(camera, about);
    case VIDIOC_STREAMON:
        clock_gettime(CLOCK_MONOTONIC, &camera->began_at);
        camera->sequence = 0;
        camera->filming = 1;
        return 0;
    case VIDIOC_STREAMOFF:
        camera->filming = camera->first = camera->count = 0;
        return 0;
    default:
        return refuse(request == VIDIOC_QUERYCTRL || request == VIDIOC_QUERY_EXT_CTRL ? EINVAL : ENOTTY);
    }
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    va_start(rest, request);
    void *about = va_arg(rest, void *);
    va_end(rest);
    struct camera *camera = camera_of(fd);
    return camera ? answer(camera, request, about)
                  : (int)kernel(SYS_ioctl, fd, request, (long)about, 0, 0, 0);
}

/* Some libraries ask the kernel without libc. */
long syscall(long number, ...) {
    va_list rest;
    va_start(rest, number);
    long a = va_arg(rest, long), b = va_arg(rest, long), c = va_arg(rest, long);
    long d = va_arg(rest, long), e = va_arg(rest, long), f = va_arg(rest, long);
    va_end(rest);
    struct camera *camera = number == SYS_ioctl ? camera_of(a) : NULL;
    return camera ? answer(camera, b, (void *)c) : kernel(number, a, b, c, d, e, f);
}

static int is_camera(const char *path) { return path && !strcmp(path, "/dev/video0"); }

int open(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return is_camera(path) ? open_camera() : (int)kernel(SYS_openat, AT_FDCWD, (long)path, flags, mode, 0, 0);
}

int open64(const char *path, int flags, ...) {
    va_list rest;
    va_start(rest, flags);
    int mode = va_arg(rest, int);
    va_end(rest);
    return is_camera(path) ? open_camera()
                           : (int)kernel(SYS_openat, AT_FDCWD, (long)path, flags | O_LARGEFILE, mode, 0, 0);
}

int close(int fd) {
    struct camera *camera = camera_of(fd);
    if (camera && camera->mapped) munmap(camera->place, camera->mapped);
    if (camera) camera->fd = 0;
    return kernel(SYS_close, fd, 0, 0, 0, 0, 0);
}

/* The devices that there are, are those of a folder with one camera in it, unless it is gone. */
DIR *opendir(const char *path) {
    static DIR *(*real)(const char *);
    if (!real) real = (DIR *(*)(const char *))dlsym(RTLD_NEXT, "opendir");
    if (strcmp(path, "/dev")) return real(path);
    return real(getenv(state_is("gone") ? "FAKE_CAMERA_NONE" : "FAKE_CAMERA_DEV"));
}
