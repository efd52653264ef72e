#include "ops/adamw.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

struct SumOfSquaresCase {
  const char* name = "sum_of_squares";
  double tolerance = 1e-12;
  std::vector<Shape> shapes() const { return {{0}, {1}, {15}, {16}, {17}, {1000}, {100003}}; }
  Shape random_shape(Random& random) const { return {random.size(70000)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", 1, s[0]);
    // "out" is double for both element types; here a row that holds what it is, as T
    b.saved("sum", 1, 1);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    double sum = -1;
    ops::sum_of_squares(ctx, ops::SumOfSquares<T>{.out = &sum, .x = b.ptr("x"), .count = s[0]});
    double plain = 0;
    for (int64_t i = 0; i < s[0]; ++i) {
      plain += static_cast<double>(b.ptr("x")[i]) * static_cast<double>(b.ptr("x")[i]);
    }
    // compared here, in double: the harness compares 0 with 0
    b.ptr("sum")[0] = std::abs(sum - plain) <= 1e-12 * plain ? T(0) : T(1);
  }
  void reference(const Shape&, Buffers<double>& b) const { b.ptr("sum")[0] = 0; }
  void perf(const Perf& p) const {
    Buffers<float> b;
    b.fixed("x", 1, 1 << 20);
    double sum = 0;
    p.measure("2^20 elements", 0, 4.0 * (1 << 20), [&] {
      ops::sum_of_squares(p.ctx,
                          ops::SumOfSquares<float>{.out = &sum, .x = b.ptr("x"), .count = 1 << 20});
    });
  }
};

constexpr double kFactor = 0.5, kLr = 1e-2, kBeta1 = 0.9, kBeta2 = 0.95, kEps = 1e-8, kDecay = 0.1;
constexpr double kCorrection1 = 1 - kBeta1 * kBeta1, kCorrection2 = 1 - kBeta2 * kBeta2;

// shape: rows and columns of the weight, then of the slice: first row, rows, first column, columns
struct AdamWCase {
  const char* name = "adamw";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const {
    return {{1, 1, 0, 1, 0, 1},         {16, 8, 0, 16, 0, 8},     {64, 33, 0, 64, 0, 33},
            {65, 31, 0, 65, 0, 31},     {130, 40, 5, 100, 7, 20}, {200, 64, 64, 64, 0, 64},
            {512, 130, 120, 300, 1, 9}, {70, 16, 3, 1, 0, 16},    {127, 256, 0, 127, 0, 256}};
  }
  Shape random_shape(Random& random) const {
    const int64_t rows = random.size(200), columns = random.size(130);
    const int64_t row = random.below(rows), column = random.below(columns);
    return {rows,   columns,
            row,    random.between(1, rows - row),
            column, random.between(1, columns - column)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.add(Role::inout, "w", s[0], s[1], true);
    b.inout("gradient", s[3], s[5]);
    b.inout("m", 1, s[3] * s[5]);
    Random random("v");
    b.inout("v", 1, s[3] * s[5], [&](int64_t, int64_t) { return random.uniform(); });
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    step<T>(ctx, s, b, b.weight("w"), nullptr);
  }
  template <class T>
  void step(Context& ctx, const Shape& s, Buffers<T>& b, const Weight<T>& w, T* master) const {
    ops::adamw(ctx, ops::AdamW<T>{.w = w,
                                  .master = master,
                                  .n0 = s[2],
                                  .k0 = s[4],
                                  .gradient = b["gradient"],
                                  .m = b.ptr("m"),
                                  .v = b.ptr("v"),
                                  .factor = kFactor,
                                  .lr = kLr,
                                  .beta1 = kBeta1,
                                  .beta2 = kBeta2,
                                  .eps = kEps,
                                  .weight_decay = kDecay,
                                  .correction1 = kCorrection1,
                                  .correction2 = kCorrection2});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[3]; ++r) {
      for (int64_t c = 0; c < s[5]; ++c) {
        const double g = kFactor * b["gradient"].row(r)[c];
        b["gradient"].row(r)[c] = 0;
        double& m = b.ptr("m")[r * s[5] + c];
        double& v = b.ptr("v")[r * s[5] + c];
        double& w = b.field("w").at(s[2] + r, s[4] + c);
        m = kBeta1 * m + (1 - kBeta1) * g;
        v = kBeta2 * v + (1 - kBeta2) * g * g;
        w = w * (1 - kLr * kDecay) -
            kLr * (m / kCorrection1) / (std::sqrt(v / kCorrection2) + kEps);
      }
    }
  }

  // The masters of a bfloat16 weight take the steps of a weight in full, and the weight is their
  // rounding; outside the slice it keeps its bits. A weight that was written in between is
  // believed.
  void each_on(Report& report, Context& ctx, const Shape& s) const {
    Buffers<float> full, half;
    declare(s, full);
    declare(s, half);
    Field<float>&one = full.field("w"), &other = half.field("w");
    other.storage = Storage::bf16;
    one.weight();
    const Weight<float> w = other.weight();
    std::vector<float> before;
    for (int64_t i = 0; i < s[0] * s[1]; ++i) before.push_back(other.stored(i / s[1], i % s[1]));
    Buffers<float> masters;
    masters.inout("master", 1, s[3] * s[5],
                  [&](int64_t, int64_t i) { return one.stored(s[2] + i / s[5], s[4] + i % s[5]); });
    float* master = masters.ptr("master");
    one.store(s[2], s[4], 3.f);
    other.store(s[2], s[4], 3.f);
    forward(ctx, s, full);
    step(ctx, s, half, w, master);
    if (ctx.device) ctx.device->synchronize();
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) {
        const bool inside = r >= s[2] && r < s[2] + s[3] && c >= s[4] && c < s[4] + s[5];
        const float stored = other.stored(r, c);
        if (!inside) {
          if (stored != before[static_cast<size_t>(r * s[1] + c)]) {
            return report.fail("bfloat16: a weight outside the slice changed");
          }
          continue;
        }
        const float p = master[(r - s[2]) * s[5] + c - s[4]];
        if (p != one.stored(r, c)) return report.fail("a master is not the full weight");
        if (stored != rounded_to_bf16(p)) {
          return report.fail("a bfloat16 weight is not its master, rounded");
        }
      }
    }
  }

  // Weights outside the slice keep their bits.
  void each(Report& report, Isa isa, const Shape& s) const {
    Buffers<float> before, after;
    declare(s, before);
    declare(s, after);
    Context ctx = context(isa, 2);
    forward(ctx, s, after);
    int64_t changed = 0;
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) {
        const bool inside = r >= s[2] && r < s[2] + s[3] && c >= s[4] && c < s[4] + s[5];
        const bool same = std::memcmp(&before.field("w").at(r, c), &after.field("w").at(r, c),
                                      sizeof(float)) == 0;
        if (!inside && !same) report.fail("a weight outside the slice changed");
        changed += !same;
      }
    }
    if (changed == 0) report.fail("no weight changed");
  }
  void perf(const Perf& p) const {
    const Shape s = {1536, 512, 0, 1536, 0, 512};
    Buffers<float> b;
    declare(s, b);
    p.measure("1536 x 512", 0, 1536.0 * 512 * 28, [&] { forward(p.ctx, s, b); });
  }
};

REGISTER_OP(SumOfSquaresCase)
REGISTER_OP(AdamWCase)

}  // namespace
}  // namespace keyheads::test
