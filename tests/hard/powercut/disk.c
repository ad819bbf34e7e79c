/* Two disks with a cache that a power cut empties, as files for loop devices: disk0 and disk1 below the mount point. All
 * that is written to them, and each flush, is appended to a log in the order of its arrival; so is what is written to
 * `mark`, so that the log tells what the program under test had promised by then. `./powercut` cuts the log anywhere.
 *
 *   disk LOG BYTES MOUNTPOINT [FUSE options]
 *
 * A record is its kind (W, F or M), the disk, and offset and length as 64 bits each; the bytes of a W or M follow. */
#define FUSE_USE_VERSION 31
#include <errno.h>
#include <fcntl.h>
#include <fuse.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { DISKS = 2, MARK = DISKS, NONE = -1 };

static char *disk[DISKS];
static uint64_t size;
static int record;

static void append(const void *bytes, size_t length) {
  const char *next = bytes;
  while (length) {
    ssize_t count = write(record, next, length);
    if (count <= 0) {
      perror("the log");
      exit(1);
    }
    next += count;
    length -= (size_t)count;
  }
}

static void note(char kind, int which, uint64_t offset, const void *bytes, uint64_t length) {
  char head[18] = {kind, (char)which};
  memcpy(head + 2, &offset, 8);
  memcpy(head + 10, &length, 8);
  append(head, sizeof head);
  append(bytes, length);
}

static int file(const char *path) {
  if (!strcmp(path, "/disk0")) return 0;
  if (!strcmp(path, "/disk1")) return 1;
  return strcmp(path, "/mark") ? NONE : MARK;
}

static int get_attributes(const char *path, struct stat *found, struct fuse_file_info *info) {
  (void)info;
  memset(found, 0, sizeof *found);
  if (!strcmp(path, "/")) {
    found->st_mode = S_IFDIR | 0700;
    found->st_nlink = 2;
    return 0;
  }
  int which = file(path);
  if (which == NONE) return -ENOENT;
  found->st_mode = S_IFREG | 0600;
  found->st_nlink = 1;
  found->st_size = which == MARK ? 0 : (off_t)size;
  return 0;
}

static int open_file(const char *path, struct fuse_file_info *info) {
  info->direct_io = 1;
  return file(path) == NONE ? -ENOENT : 0;
}

static int cut_to(const char *path, off_t length, struct fuse_file_info *info) {
  (void)length, (void)info;
  return file(path) == MARK ? 0 : -EPERM;
}

static int read_disk(const char *path, char *buffer, size_t length, off_t offset, struct fuse_file_info *info) {
  (void)info;
  int which = file(path);
  if (which == MARK || (uint64_t)offset >= size) return 0;
  if (offset + length > size) length = size - (uint64_t)offset;
  memcpy(buffer, disk[which] + offset, length);
  return (int)length;
}

static int write_disk(const char *path, const char *bytes, size_t length, off_t offset, struct fuse_file_info *info) {
  (void)info;
  int which = file(path);
  if (which == MARK) {
    note('M', 0, 0, bytes, length);
  } else {
    if (offset + length > size) return -ENOSPC;
    memcpy(disk[which] + offset, bytes, length);
    note('W', which, (uint64_t)offset, bytes, length);
  }
  return (int)length;
}

static int flush_disk(const char *path, int only_data, struct fuse_file_info *info) {
  (void)only_data, (void)info;
  int which = file(path);
  if (which != MARK) note('F', which, 0, "", 0);
  return 0;
}

static const struct fuse_operations operations = {
    .getattr = get_attributes,
    .open = open_file,
    .truncate = cut_to,
    .read = read_disk,
    .write = write_disk,
    .fsync = flush_disk,
};

int main(int count, char **words) {
  if (count < 4) {
    fprintf(stderr, "usage: disk LOG BYTES MOUNTPOINT [FUSE options]\n");
    return 2;
  }
  record = open(words[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
  size = strtoull(words[2], NULL, 10);
  for (int which = 0; which < DISKS; which++) {
    disk[which] = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (disk[which] == MAP_FAILED) record = -1;
  }
  if (record < 0) {
    perror("disk");
    return 1;
  }
  words[2] = words[0];
  return fuse_main(count - 2, words + 2, &operations, NULL);
}
