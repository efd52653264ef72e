#include "ops/pack_stored.h"

#include <thread>

#include "op_case.h"

namespace keyheads::test {
namespace {

using ops::Stored;

// Numbers as a file holds them, made from random bits so that every exponent occurs, and what they
// are worth, by arithmetic alone.
struct File {
  std::vector<char> bytes;
  std::vector<double> values;

  File(Stored type, int64_t count) {
    Random random("file");
    for (int64_t i = 0; i < count; ++i) {
      const auto word = static_cast<uint32_t>(random.below(1 << 16));
      const auto low = static_cast<uint32_t>(random.below(1 << 16));
      switch (type) {
        case Stored::f16:
          add(static_cast<uint16_t>(word), half(word));
          break;
        case Stored::bf16:
          add(static_cast<uint16_t>(word), widened(word << 16));
          break;
        case Stored::f32: {
          // every third is a tie or next to one
          const uint32_t lower = i % 3 ? low : 0x7fffu + static_cast<uint32_t>(random.below(3));
          add(word << 16 | lower, widened(word << 16 | lower));
          break;
        }
        case Stored::f64: {
          // beside floats and beside ties between bfloat16, by far less than a float's last place
          const double near = widened(word << 16 | (i % 2 ? 0x8000u : low));
          const double x = near * (1 + 1e-12 * static_cast<double>(random.below(3) - 1));
          add(x, x);
          break;
        }
      }
    }
  }
  template <class Bits>
  void add(Bits bits, double value) {
    const auto* from = reinterpret_cast<const char*>(&bits);
    bytes.insert(bytes.end(), from, from + sizeof bits);
    values.push_back(value);
  }
  static double widened(uint32_t bits) {
    float value;
    std::memcpy(&value, &bits, sizeof value);
    return value;
  }
  static double half(uint32_t bits) {
    const int exponent = static_cast<int>(bits >> 10 & 31),
              fraction = static_cast<int>(bits & 1023);
    const double magnitude = exponent == 31  ? (fraction ? NAN : INFINITY)
                             : exponent == 0 ? std::ldexp(fraction, -24)
                                             : std::ldexp(1024 + fraction, exponent - 25);
    return bits >> 15 ? -magnitude : magnitude;
  }
};

// The bfloat16 nearest to x, ties to even, by looking at the neighbours.
double nearest_bf16(double x) {
  if (!std::isfinite(x)) return x;
  const double magnitude = std::abs(x);
  uint32_t low = 0, high = 0x7f80;
  while (high - low > 1) {
    const uint32_t middle = (low + high) / 2;
    (File::widened(middle << 16) <= magnitude ? low : high) = middle;
  }
  const double below = File::widened(low << 16);
  // beyond the largest, where the next would be
  const double above = high == 0x7f80 ? 0x1p128 : File::widened(high << 16);
  const double down = magnitude - below, up = above - magnitude;
  const bool lower = down < up || (down == up && low % 2 == 0);
  const double nearest = lower ? below : high == 0x7f80 ? INFINITY : above;
  return std::copysign(nearest, x);
}

template <class T>
void check(Report& report, Context& ctx, Storage storage, Stored type, bool columns, int64_t n,
           int64_t k) {
  report.count_case();
  const bool half = storage == Storage::bf16;
  const int64_t stored_rows = n + 5;  // more than the slot's, as in a fused tensor
  const File file(type, stored_rows * k);
  const auto bytes = static_cast<int64_t>(file.bytes.size()) / (stored_rows * k);
  std::vector<char> shifted(file.bytes.size() + 1);  // off alignment
  std::copy(file.bytes.begin(), file.bytes.end(), shifted.begin() + 1);
  const char* data = shifted.data() + 1;
  Weight<T> w{nullptr, n, k, storage};
  Memory<uint32_t> memory(static_cast<size_t>(w.bytes()) / 4 + 16, 0x40e040e0u);
  w.data = memory.data();
  // in pieces that begin off the panels: rows [0, cut) are stored rows 3 .., the rest 5 ..
  const int64_t cut = n / 3, col_cut = k / 2 / 2 * 2;
  for (const auto& [begin, end] : {std::pair<int64_t, int64_t>(0, cut), {cut, n}}) {
    const int64_t index = begin + (end == cut ? 3 : 5);
    for (const auto& [c0, c1] : {std::pair<int64_t, int64_t>(0, col_cut), {col_cut, k}}) {
      const int64_t start = columns ? c0 * stored_rows + index : index * k + c0;
      ops::pack_stored(ctx, ops::PackStored<T>{.w = w,
                                               .data = data + start * bytes,
                                               .type = type,
                                               .row_step = columns ? 1 : k,
                                               .col_step = columns ? stored_rows : 1,
                                               .row0 = begin,
                                               .rows = end - begin,
                                               .col0 = c0,
                                               .cols = c1 - c0});
    }
  }
  const std::string where = std::string(ctx.device ? "device" : isa_name(ctx.isa)) + " type " +
                            std::to_string(static_cast<int>(type)) + (columns ? " columns " : " ") +
                            std::to_string(n) + "x" + std::to_string(k);
  const bool lines = ctx.device != nullptr;  // without panels
  if (lines) ctx.device->synchronize();
  const auto* const halves = reinterpret_cast<const uint16_t*>(memory.data());
  const auto in_lines = [&](int64_t i) {
    return File::widened(half ? uint32_t{halves[i]} << 16 : memory[static_cast<size_t>(i)]);
  };
  w.visit([&](const auto& panels) {
    for (int64_t r = 0; r < n; ++r) {
      for (int64_t c = 0; c < k; ++c) {
        const int64_t index = r + (r < cut ? 3 : 5);
        const int64_t at = columns ? c * stored_rows + index : index * k + c;
        const double value = file.values[static_cast<size_t>(at)];
        const double want = half ? nearest_bf16(value) : static_cast<double>(static_cast<T>(value));
        const double got = lines ? in_lines(r * k + c) : read_element(panels, r, c);
        if (std::isnan(want) ? !std::isnan(got)
                             : got != want || std::signbit(got) != std::signbit(want)) {
          return report.fail(where + ": " + std::to_string(got) + " where the file has " +
                             std::to_string(value));
        }
      }
      if (!lines && half && k % 2 == 1 && read_element(panels, r, k) != 0) {
        return report.fail(where + ": a number without neighbour has no zero beside it");
      }
    }
  });
  const int64_t begin = lines ? n * k * (half ? 2 : 4) : w.bytes();
  for (int64_t i = begin / 2; i < std::ssize(memory) * 2; ++i) {
    if (halves[i] != 0x40e0u) return report.fail(where + ": wrote behind the weight");
  }
}

// Row by row, what the weight holds.
template <class T>
void check_conversion(Report& report, Context& ctx, Storage storage, Stored type, int64_t count) {
  report.count_case();
  const File file(type, count);
  std::vector<char> shifted(file.bytes.size() + 1);  // off alignment
  std::copy(file.bytes.begin(), file.bytes.end(), shifted.begin() + 1);
  Memory<T> got(static_cast<size_t>(count) + 1, T(7));
  ops::convert_stored(ctx, ops::ConvertStored<T>{.y = got.data(),
                                                 .data = shifted.data() + 1,
                                                 .type = type,
                                                 .storage = storage,
                                                 .count = count});
  if (ctx.device) ctx.device->synchronize();
  for (int64_t i = 0; i < count; ++i) {
    const double value = file.values[static_cast<size_t>(i)];
    const double want =
        storage == Storage::bf16 ? nearest_bf16(value) : static_cast<double>(static_cast<T>(value));
    const auto found = static_cast<double>(got[static_cast<size_t>(i)]);
    if (std::isnan(want) ? !std::isnan(found)
                         : found != want || std::signbit(found) != std::signbit(want)) {
      return report.fail(std::string(isa_name(ctx.isa)) + " conversion of type " +
                         std::to_string(static_cast<int>(type)) + ": " + std::to_string(found) +
                         " where the file has " + std::to_string(value));
    }
  }
  if (got.back() != T(7)) report.fail("a conversion wrote behind its numbers");
}

void check_on(Report& report, Context& ctx) {
  for (const Stored type : {Stored::f32, Stored::f64, Stored::f16, Stored::bf16}) {
    for (const int64_t count : {1, 15, 64, 1001}) {
      check_conversion<float>(report, ctx, Storage::full, type, count);
      check_conversion<float>(report, ctx, Storage::bf16, type, count);
      if (!ctx.device) check_conversion<double>(report, ctx, Storage::full, type, count);
    }
    for (const bool columns : {false, true}) {
      for (const auto& [n, k] : {std::pair<int64_t, int64_t>(1, 1),
                                 {3, 2},
                                 {64, 64},
                                 {65, 33},
                                 {130, 257},
                                 {70, 130},
                                 {200, 15}}) {
        check<float>(report, ctx, Storage::full, type, columns, n, k);
        check<float>(report, ctx, Storage::bf16, type, columns, n, k);
        if (!ctx.device) check<double>(report, ctx, Storage::full, type, columns, n, k);
      }
    }
  }
}
void check_all(Report& report) {
  for (const Isa isa : supported_isas()) {
    Context ctx = context(isa, 1);
    check_on(report, ctx);
  }
}
// Pieces of one weight, by threads of their own.
void check_threads(Report& report, Context& ctx) {
  constexpr int64_t kRows = 64, kColumns = 33, kThreads = 4;
  report.count_case();
  const File file(Stored::f32, kRows * kColumns);
  Memory<float> memory(kRows * kColumns, -1.0f);
  const Weight<float> w{memory.data(), kRows, kColumns, Storage::full};
  std::vector<std::thread> threads;
  for (int64_t t = 0; t < kThreads; ++t) {
    threads.emplace_back([&, t] {
      for (int64_t r = t; r < kRows; r += kThreads) {
        ops::pack_stored(ctx, ops::PackStored<float>{.w = w,
                                                     .data = file.bytes.data() + r * kColumns * 4,
                                                     .type = Stored::f32,
                                                     .row_step = kColumns,
                                                     .col_step = 1,
                                                     .row0 = r,
                                                     .rows = 1,
                                                     .col0 = 0,
                                                     .cols = kColumns});
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  ctx.device->synchronize();
  if (std::memcmp(memory.data(), file.bytes.data(), file.bytes.size()) != 0) {
    report.fail("threads that pack a weight together");
  }
}
void check_device(Report& report, Device& device) {
  const OnDevice on(device, detect_isa());
  check_on(report, on.ctx);
  check_threads(report, on.ctx);
}

[[maybe_unused]] const bool registered =
    add_op_test({.name = "pack_stored", .test = check_all, .perf = {}, .on_device = check_device});

}  // namespace
}  // namespace keyheads::test
