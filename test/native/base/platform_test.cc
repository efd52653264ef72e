#include "base/platform.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

#include "base/check.h"
#include "base/file.h"
#include "report.h"

namespace keyheads::test {
namespace {

void expect(Report& report, bool holds, const std::string& what) {
  report.count_case();
  if (!holds) report.fail(what);
}

// A file in the folder for temporary ones, with 5000 bytes that count up, gone at the end.
struct Counted {
  std::filesystem::path path;

  Counted() {
    path = std::filesystem::temp_directory_path() /
           (u8"keyheads-täst-\u4e2d-" +
            std::filesystem::path(std::to_string(std::random_device{}())).u8string());
    std::ofstream file(path, std::ios::binary);
    for (int i = 0; i < 5000; ++i) file.put(static_cast<char>(i % 251));
  }
  ~Counted() {
    std::error_code ignored;
    std::filesystem::remove(path, ignored);
  }
  std::string utf8() const {
    const std::u8string text = path.u8string();
    return {text.begin(), text.end()};
  }
};

template <class Call>
std::string error_of(const Call& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code + ": " + error.what();
  }
  return "";
}

void test_files(Report& report) {
  const Counted counted;
  const File file(counted.utf8());
  unsigned char bytes[300] = {};
  bool equal = true;
  for (const int64_t offset : {0, 1, 2500, 4700}) {
    file.read(offset, 300, bytes);
    for (int64_t i = 0; i < 300; ++i) equal &= bytes[i] == (offset + i) % 251;
  }
  expect(report, equal, "a file was read wrongly");
  file.check_range(0, 5000);
  file.fetch(0, 0);
  const std::string beyond = error_of([&] { file.check_range(4999, 2); });
  expect(report, beyond.find("1 found; the file is truncated") != std::string::npos, beyond);
  const std::string at_end = error_of([&] { file.read(4900, 200, bytes); });
  expect(report, at_end.find("100 found; the file is truncated") != std::string::npos, at_end);
  std::error_code refused;
  std::filesystem::remove(counted.path, refused);
  expect(report, !refused, "a file that is read cannot be removed: " + refused.message());

  const std::string missing = counted.utf8() + ".missing";
  const std::string reason = error_of([&] { File{missing}; });
  expect(report, reason.rfind("BAD_CHECKPOINT: " + missing + ": ", 0) == 0, reason);
  expect(report, reason.size() > missing.size() + 22, "no reason: " + reason);
}

void test_pages(Report& report) {
  constexpr size_t kBytes = size_t{1} << 34;
  auto* pages = static_cast<unsigned char*>(reserve_pages(kBytes));
  expect(report, pages != nullptr, "the system has no 16 GiB of addresses");
  if (!pages) return;
  for (int round = 0; round < 2; ++round) {
    bool zero = true, kept = true;
    for (size_t at = 4095; at < kBytes; at += kBytes / 7) {
      zero &= pages[at] == 0 && pages[at + 1] == 0;
      pages[at] = pages[at + 1] = 7;
    }
    for (size_t at = 4095; at < kBytes; at += kBytes / 7) kept &= pages[at + 1] == 7;
    expect(report, zero, "reserved pages do not begin as zeros");
    expect(report, kept, "reserved pages do not keep what is written");
    forget_pages(pages, kBytes);
  }
}

void test_memory(Report& report) {
  for (const size_t alignment : {size_t{64}, size_t{4096}, size_t{2} << 20}) {
    void* block = allocate_aligned(alignment, alignment + 1);
    expect(report, block && reinterpret_cast<uintptr_t>(block) % alignment == 0,
           "no memory aligned to " + std::to_string(alignment));
    free_aligned(block);
  }
  const std::vector<int> cpus = usable_cpus();
  expect(report, !cpus.empty() && std::is_sorted(cpus.begin(), cpus.end()), "no CPU is usable");
  run_on({cpus.back()});
  run_on(cpus);
  expect(report, usable_cpus() == cpus, "CPUs are missing after a thread was free again");
}

const bool registered =
    add_op_test({.name = "base/platform files", .test = test_files, .perf = {}}) &&
    add_op_test({.name = "base/platform pages", .test = test_pages, .perf = {}}) &&
    add_op_test({.name = "base/platform memory", .test = test_memory, .perf = {}});

}  // namespace
}  // namespace keyheads::test
