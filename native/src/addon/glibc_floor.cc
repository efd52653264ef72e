// Lets an addon (or the CUDA library) that was built on a newer system run on glibc 2.28 (2018:
// RHEL 8, Debian 10, Ubuntu 18.10; what Node's own binaries need). glibc gave these functions new
// version names since, and a linker takes the newest. Each definition here is private to it,
// also serves the static libstdc++ and libgcc, and leads to the name that every glibc has.
// scripts/lib/symbols.mjs checks that no newer name is left.
#include <cstdint>  // defines __GLIBC__

#if defined(__linux__) && defined(__GLIBC__)
#include <dlfcn.h>
#include <link.h>
#include <pthread.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>

#ifdef __x86_64__
#define KEYHEADS_FIRST_VERSION "GLIBC_2.2.5"
#else
#define KEYHEADS_FIRST_VERSION "GLIBC_2.17"
#endif

// old_NAME is NAME of the first version.
#define OLD(result, name, parameters)      \
  extern "C" result old_##name parameters; \
  asm(".symver old_" #name "," #name "@" KEYHEADS_FIRST_VERSION)

#define FORWARD(result, name, parameters, arguments) \
  OLD(result, name, parameters);                     \
  extern "C" result name parameters { return old_##name arguments; }

// The old declarations say nothing of what they only pass on.
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"

using Routine = void* (*)(void*);

#if __GLIBC_PREREQ(2, 34)
// These moved into libc.so.6.
FORWARD(int, pthread_create,
        (pthread_t * thread, const pthread_attr_t* options, Routine routine, void* argument),
        (thread, options, routine, argument))
FORWARD(int, pthread_join, (pthread_t thread, void** result), (thread, result))
FORWARD(int, pthread_detach, (pthread_t thread), (thread))
FORWARD(int, pthread_key_create, (pthread_key_t * key, void (*destroy)(void*)), (key, destroy))
FORWARD(int, __pthread_key_create, (pthread_key_t * key, void (*destroy)(void*)), (key, destroy))
FORWARD(int, pthread_key_delete, (pthread_key_t key), (key))
FORWARD(void*, pthread_getspecific, (pthread_key_t key), (key))
FORWARD(int, pthread_setspecific, (pthread_key_t key, const void* value), (key, value))
FORWARD(int, pthread_once, (pthread_once_t * once, void (*routine)()), (once, routine))
FORWARD(int, dladdr, (const void* address, Dl_info* info), (address, info))
FORWARD(char*, dlerror, (), ())
FORWARD(void*, dlopen, (const char* path, int mode), (path, mode))
FORWARD(void*, dlsym, (void* library, const char* name), (library, name))

#endif

#if __GLIBC_PREREQ(2, 29)
// Their new versions differ in errno and the old error handlers only.
FORWARD(double, exp, (double x), (x))
FORWARD(double, log, (double x), (x))
FORWARD(double, pow, (double x, double y), (x, y))

#endif

#if __GLIBC_PREREQ(2, 30)
// What std::condition_variable::wait_for waits with. The clock of the date may be set meanwhile, so
// a wait can end early or late by as much: wait_for looks at its own clock again.
extern "C" int pthread_cond_clockwait(pthread_cond_t* condition, pthread_mutex_t* mutex,
                                      clockid_t clock, const timespec* until) {
  constexpr long kSecond = 1000000000;
  timespec now, date;
  clock_gettime(clock, &now);
  clock_gettime(CLOCK_REALTIME, &date);
  date.tv_sec += until->tv_sec - now.tv_sec;
  date.tv_nsec += until->tv_nsec - now.tv_nsec;
  if (date.tv_nsec < 0) {
    date.tv_nsec += kSecond;
    --date.tv_sec;
  } else if (date.tv_nsec >= kSecond) {
    date.tv_nsec -= kSecond;
    ++date.tv_sec;
  }
  return pthread_cond_timedwait(condition, mutex, &date);
}

#endif

#if __GLIBC_PREREQ(2, 33)
// A function of the headers before.
#ifdef __x86_64__
constexpr int kStatVersion = 1;
#else
constexpr int kStatVersion = 0;
#endif
OLD(int, __fxstat, (int version, int file, struct stat* status));
OLD(int, __fxstat64, (int version, int file, struct stat64* status));
extern "C" int fstat(int file, struct stat* status) {
  return old___fxstat(kStatVersion, file, status);
}
extern "C" int fstat64(int file, struct stat64* status) {
  return old___fxstat64(kStatVersion, file, status);
}

#endif

#if __GLIBC_PREREQ(2, 32)
// Lets libstdc++ omit atomic operations: never in a process that has threads.
extern "C" char __libc_single_threaded;
char __libc_single_threaded = 0;

#endif

#if __GLIBC_PREREQ(2, 36)
// For std::random_device.
extern "C" uint32_t arc4random() {
  uint32_t bits = 0;
  while (getentropy(&bits, sizeof bits) != 0) {
  }
  return bits;
}

#endif

#if __GLIBC_PREREQ(2, 35)
// For libgcc to find a function's unwinding table when an exception is thrown.
namespace {

struct Search {
  uintptr_t address;
  dl_find_object* found;
};

int visit(dl_phdr_info* object, size_t, void* data) {
  auto* search = static_cast<Search*>(data);
  const uintptr_t base = object->dlpi_addr;
  bool inside = false;
  void* table = nullptr;
  for (const ElfW(Phdr)* p = object->dlpi_phdr; p < object->dlpi_phdr + object->dlpi_phnum; ++p) {
    const uintptr_t begin = base + p->p_vaddr;
    if (p->p_type == PT_GNU_EH_FRAME) table = reinterpret_cast<void*>(begin);
    if (p->p_type != PT_LOAD || search->address < begin) continue;
    if (search->address >= begin + p->p_memsz) continue;
    inside = true;
    search->found->dlfo_map_start = reinterpret_cast<void*>(begin);
    search->found->dlfo_map_end = reinterpret_cast<void*>(begin + p->p_memsz);
  }
  if (!inside || table == nullptr) return 0;
  search->found->dlfo_eh_frame = table;
  return 1;
}

}  // namespace

extern "C" int _dl_find_object(void* address, dl_find_object* found) {
  Search search{reinterpret_cast<uintptr_t>(address), found};
  return dl_iterate_phdr(visit, &search) == 1 ? 0 : -1;
}
#endif
#endif
