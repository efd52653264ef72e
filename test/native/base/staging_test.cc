#include "base/staging.h"

#include <cstring>
#include <string>
#include <vector>

#include "report.h"

namespace keyheads::test {
namespace {

// Pieces arrive in their order and whole, whichever buffer they went through, and however late the
// device reads it.
void check_pieces(Report& report, Device& device) {
  constexpr int64_t kPiece = 1000, kPieces = 7;
  report.count_case();
  std::vector<char> want(kPiece * kPieces);
  for (size_t i = 0; i < want.size(); ++i) want[i] = static_cast<char>(i * 7 + i / kPiece);
  const auto there = device.allocate_shared(want.size());
  auto* const to = static_cast<char*>(there.get());
  {
    Staging staging(device, kPiece);
    for (int64_t at = 0; at < kPiece * kPieces; at += kPiece) {
      staging.pass(
          kPiece, [&](char* memory) { std::memcpy(memory, want.data() + at, kPiece); },
          [&](const char* memory) {
            device.upload(to + at, memory, kPiece / 2);
            device.upload(to + at + kPiece / 2, memory + kPiece / 2, kPiece / 2);
          });
    }
    if (memory_info(device.pinned()).scratch_bytes < 2 * kPiece) {
      report.fail("pinned memory is not counted");
    }
  }
  if (std::memcmp(to, want.data(), want.size()) != 0) report.fail("a piece was overwritten");
}

// A piece larger than the buffers, between others.
void check_growth(Report& report, Device& device) {
  report.count_case();
  const int64_t sizes[] = {10, 300, 20, 500, 40};
  const auto there = device.allocate_shared(1000);
  auto* const to = static_cast<char*>(there.get());
  std::vector<char> want;
  {
    Staging staging(device, 100);
    for (const int64_t bytes : sizes) {
      const auto at = static_cast<int64_t>(want.size());
      want.insert(want.end(), static_cast<size_t>(bytes), static_cast<char>('a' + bytes % 23));
      staging.pass(
          bytes,
          [&](char* memory) { std::memcpy(memory, want.data() + at, static_cast<size_t>(bytes)); },
          [&](const char* memory) { device.upload(to + at, memory, static_cast<size_t>(bytes)); });
    }
  }
  if (std::memcmp(to, want.data(), want.size()) != 0) report.fail("a large piece");
}

// What fails while it fills a buffer leaves nothing behind.
void check_failure(Report& report, Device& device) {
  report.count_case();
  try {
    Staging staging(device, 100);
    for (int i = 0;; ++i) {
      staging.pass(
          100,
          [&](char*) {
            if (i == 3) throw std::string("no more");
          },
          [](const char*) {});
    }
  } catch (const std::string&) {
  }
  if (memory_info(device.pinned()).scratch_bytes != 0) report.fail("pinned memory is still held");
}

// What is collected is what lay there when it was asked for, whole and in its place, for parts
// smaller and larger than a buffer.
void check_collection(Report& report, Device& device) {
  const int64_t sizes[] = {10, 300, 0, 100, 500, 40, 7};
  for (const int64_t buffer : {64, 100, 1000, 5000}) {
    report.count_case();
    std::vector<std::vector<char>> want, found;
    Collection collection(device, buffer);
    std::vector<std::shared_ptr<void>> there;
    for (const int64_t bytes : sizes) {
      const auto size = static_cast<size_t>(bytes);
      want.emplace_back(size);
      for (size_t i = 0; i < size; ++i) want.back()[i] = static_cast<char>(i * 3 + want.size());
      found.emplace_back(size, 'x');
      there.push_back(device.allocate_shared(size + 1));
      device.upload(there.back().get(), want.back().data(), size);
      collection.add(found.back().data(), there.back().get(), bytes);
      device.zero(there.back().get(), size);
    }
    collection.finish();
    if (found != want) report.fail("buffers of " + std::to_string(buffer) + " bytes");
    // and once more
    std::vector<char> again(sizes[1]);
    device.upload(there[1].get(), want[1].data(), again.size());
    collection.add(again.data(), there[1].get(), sizes[1]);
    collection.finish();
    if (again != want[1]) report.fail("a second collection");
  }
  // One that ends early leaves no copy that would write to memory of the next.
  report.count_case();
  const auto there = device.allocate_shared(100);
  device.zero(there.get(), 100);
  std::vector<char> never(100, 'x');
  { Collection(device, 100).add(never.data(), there.get(), 100); }
  if (memory_info(device.pinned()).scratch_bytes != 0) report.fail("pinned memory is still held");
  trim_memory(0, device.pinned());
  if (never[0] != 'x') report.fail("what was not finished is there");
}

void check_device(Report& report, Device& device) {
  check_pieces(report, device);
  check_growth(report, device);
  check_failure(report, device);
  check_collection(report, device);
}

[[maybe_unused]] const bool registered =
    add_op_test({.name = "staging", .test = {}, .perf = {}, .on_device = check_device});

}  // namespace
}  // namespace keyheads::test
