#ifdef _WIN32
#include <malloc.h>
#include <windows.h>

#include <algorithm>
#include <atomic>
#include <numeric>
#include <thread>

#include "base/platform.h"

namespace keyheads {
namespace {

std::wstring wide(const std::string& text) {
  const int bytes = static_cast<int>(text.size());
  std::wstring out(
      static_cast<size_t>(MultiByteToWideChar(CP_UTF8, 0, text.data(), bytes, nullptr, 0)), 0);
  MultiByteToWideChar(CP_UTF8, 0, text.data(), bytes, out.data(), static_cast<int>(out.size()));
  return out;
}

std::string utf8(const wchar_t* text, int length) {
  std::string out(static_cast<size_t>(
                      WideCharToMultiByte(CP_UTF8, 0, text, length, nullptr, 0, nullptr, nullptr)),
                  0);
  WideCharToMultiByte(CP_UTF8, 0, text, length, out.data(), static_cast<int>(out.size()), nullptr,
                      nullptr);
  return out;
}

SystemError last_error() {
  const DWORD code = GetLastError();
  wchar_t text[512];
  int length =
      static_cast<int>(FormatMessageW(FORMAT_MESSAGE_FROM_SYSTEM | FORMAT_MESSAGE_IGNORE_INSERTS,
                                      nullptr, code, 0, text, std::size(text), nullptr));
  while (length > 0 && (text[length - 1] <= L' ' || text[length - 1] == L'.')) --length;
  if (length == 0) return SystemError("error " + std::to_string(code));
  return SystemError(utf8(text, length));
}

// Absolute, and of any length: without this prefix a path ends after 260 characters.
std::wstring absolute(const std::string& path) {
  const std::wstring given = wide(path);
  std::wstring full(GetFullPathNameW(given.c_str(), 0, nullptr, nullptr), 0);
  full.resize(
      GetFullPathNameW(given.c_str(), static_cast<DWORD>(full.size()), full.data(), nullptr));
  if (full.rfind(L"\\\\?\\", 0) == 0 || full.rfind(L"\\\\.\\", 0) == 0) return full;
  if (full.rfind(L"\\\\", 0) == 0) return L"\\\\?\\UNC\\" + full.substr(2);
  return L"\\\\?\\" + full;
}

HANDLE handle(FileHandle file) { return reinterpret_cast<HANDLE>(file); }

// Windows has no addresses that turn into memory when they are touched: reserved ones raise an
// access violation, and this takes a piece of them for it.
constexpr uintptr_t kPiece = uintptr_t{1} << 20;
struct Reserved {
  uintptr_t begin, end;
  const Reserved* next;
};
std::atomic<const Reserved*> newest{nullptr};

LONG CALLBACK commit_on_touch(EXCEPTION_POINTERS* what) {
  const EXCEPTION_RECORD& record = *what->ExceptionRecord;
  if (record.ExceptionCode != EXCEPTION_ACCESS_VIOLATION) return EXCEPTION_CONTINUE_SEARCH;
  const uintptr_t at = record.ExceptionInformation[1];
  const Reserved* pages = newest;
  while (pages && (at < pages->begin || at >= pages->end)) pages = pages->next;
  if (!pages) return EXCEPTION_CONTINUE_SEARCH;
  const uintptr_t piece = at / kPiece * kPiece;
  const uintptr_t from = std::max(piece, pages->begin), to = std::min(piece + kPiece, pages->end);
  void* const done =
      VirtualAlloc(reinterpret_cast<void*>(from), to - from, MEM_COMMIT, PAGE_READWRITE);
  return done ? EXCEPTION_CONTINUE_EXECUTION : EXCEPTION_CONTINUE_SEARCH;
}

}  // namespace

// Of this process's group of at most 64.
std::vector<int> usable_cpus() {
  DWORD_PTR mine = 0, all = 0;
  std::vector<int> cpus;
  if (GetProcessAffinityMask(GetCurrentProcess(), &mine, &all)) {
    for (int cpu = 0; cpu < 64; ++cpu) {
      if (mine >> cpu & 1) cpus.push_back(cpu);
    }
  }
  if (cpus.empty()) {  // a process of several groups
    cpus.resize(std::max(1u, std::thread::hardware_concurrency()));
    std::iota(cpus.begin(), cpus.end(), 0);
  }
  return cpus;
}

void run_on(const std::vector<int>& cpus) {
  DWORD_PTR mask = 0;
  for (const int cpu : cpus) {
    if (cpu < 64) mask |= DWORD_PTR{1} << cpu;
  }
  SetThreadAffinityMask(GetCurrentThread(), mask);
}

void* allocate_aligned(size_t alignment, size_t bytes) { return _aligned_malloc(bytes, alignment); }

void free_aligned(void* memory) { _aligned_free(memory); }

void advise_huge_pages(void*, size_t) {}  // they need a privilege that users lack

void* reserve_pages(size_t bytes) {
  void* const block = VirtualAlloc(nullptr, bytes, MEM_RESERVE, PAGE_READWRITE);
  if (!block) return nullptr;
  const auto begin = reinterpret_cast<uintptr_t>(block);
  auto* pages = new Reserved{begin, begin + bytes, newest};
  while (!newest.compare_exchange_weak(pages->next, pages)) {
  }
  static void* const handler = AddVectoredExceptionHandler(1, commit_on_touch);
  return handler ? block : nullptr;
}

void forget_pages(void* memory, size_t bytes) { VirtualFree(memory, bytes, MEM_DECOMMIT); }

FileState state_of(FileHandle file) {
  LARGE_INTEGER length{};
  FILETIME written{};
  if (!GetFileSizeEx(handle(file), &length) ||
      !GetFileTime(handle(file), nullptr, nullptr, &written)) {
    throw last_error();
  }
  return {length.QuadPart,
          static_cast<int64_t>(written.dwHighDateTime) << 32 | written.dwLowDateTime};
}

// Others may replace or delete the file meanwhile, as they may everywhere else.
FileHandle open_file(const std::string& path, FileState& state) {
  const HANDLE file = CreateFileW(absolute(path).c_str(), GENERIC_READ,
                                  FILE_SHARE_READ | FILE_SHARE_WRITE | FILE_SHARE_DELETE, nullptr,
                                  OPEN_EXISTING, FILE_FLAG_SEQUENTIAL_SCAN, nullptr);
  if (file == INVALID_HANDLE_VALUE) throw last_error();
  try {
    state = state_of(reinterpret_cast<FileHandle>(file));
  } catch (...) {
    CloseHandle(file);
    throw;
  }
  return reinterpret_cast<FileHandle>(file);
}

void close_file(FileHandle file) { CloseHandle(handle(file)); }

int64_t read_at(FileHandle file, int64_t offset, int64_t count, void* to) {
  constexpr int64_t kMost = int64_t{1} << 30;
  OVERLAPPED place{};
  place.Offset = static_cast<DWORD>(offset);
  place.OffsetHigh = static_cast<DWORD>(offset >> 32);
  DWORD got = 0;
  if (ReadFile(handle(file), to, static_cast<DWORD>(std::min(count, kMost)), &got, &place))
    return got;
  if (GetLastError() == ERROR_HANDLE_EOF) return 0;
  throw last_error();
}

void advise_sequential(FileHandle) {}  // open_file says so
void advise_needed(FileHandle, int64_t, int64_t) {}

void stay_loaded() {
  HMODULE self = nullptr;
  GetModuleHandleExW(GET_MODULE_HANDLE_EX_FLAG_PIN | GET_MODULE_HANDLE_EX_FLAG_FROM_ADDRESS,
                     reinterpret_cast<const wchar_t*>(&stay_loaded), &self);
}

void* open_library(const std::string& path, std::string& why) {
  HMODULE library = LoadLibraryW(absolute(path).c_str());
  if (!library) why = last_error().what();
  return library;
}

void* find_symbol(void* library, const char* name) {
  return reinterpret_cast<void*>(GetProcAddress(static_cast<HMODULE>(library), name));
}

}  // namespace keyheads
#endif
