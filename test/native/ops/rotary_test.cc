#include "ops/rotary.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

constexpr int64_t kContext = 40;

// shape: rows, heads, width, half, whether adjacent dimensions are the pairs
struct RotaryCase {
  const char* name = "rotary";
  double tolerance = 3e-7;
  std::vector<Shape> shapes() const {
    std::vector<Shape> out;
    for (const int64_t adjacent : {0, 1}) {
      for (Shape s : std::vector<Shape>{{0, 2, 8, 4},
                                        {1, 1, 2, 1},
                                        {5, 3, 8, 4},
                                        {7, 2, 34, 17},
                                        {9, 4, 64, 32},
                                        {20, 2, 30, 10},
                                        {300, 6, 48, 24}}) {
        s.push_back(adjacent);
        out.push_back(s);
      }
    }
    return out;
  }
  Shape random_shape(Random& random) const {
    const int64_t width = random.size(128) + 1;
    return {random.size(100), random.between(1, 8), width, random.between(1, width / 2),
            random.below(2)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const auto angle = [&](int64_t p, int64_t i) {
      return static_cast<double>(p) *
             std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(s[3]));
    };
    // contiguous (context, half)
    b.fixed("cosines", 1, kContext * s[3],
            [&](int64_t, int64_t c) { return std::cos(angle(c / s[3], c % s[3])); });
    b.fixed("sines", 1, kContext * s[3],
            [&](int64_t, int64_t c) { return std::sin(angle(c / s[3], c % s[3])); });
    b.in("x", s[0], s[1] * s[2]);
    b.out("y", s[0], s[1] * s[2]);
    b.gradient(Role::sets, "x");
    std::vector<int32_t> positions;
    for (int64_t m = 0; m < s[0]; ++m) positions.push_back(static_cast<int32_t>(m % kContext));
    b.ints("positions", positions);
  }
  template <class T>
  void rotate(Context& ctx, const Shape& s, Buffers<T>& b, Mat<T> y, Mat<T> x, int sign) const {
    ops::rotary(ctx, ops::Rotary<T>{.y = y,
                                    .x = x,
                                    .positions = b.ints("positions"),
                                    .cosines = b.ptr("cosines"),
                                    .sines = b.ptr("sines"),
                                    .heads = s[1],
                                    .width = s[2],
                                    .half = s[3],
                                    .adjacent = s[4] == 1,
                                    .sign = sign});
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    rotate(ctx, s, b, b["y"], b["x"], 1);
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    rotate(ctx, s, b, b["dx"], b["dy"], -1);
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t m = 0; m < s[0]; ++m) {
      for (int64_t c = 0; c < s[1] * s[2]; ++c) {
        const int64_t i = c % s[2], pair = s[4] ? i / 2 : i % s[3];
        const int64_t one = s[4] ? 2 * pair : pair, two = s[4] ? one + 1 : one + s[3];
        const double* x = b["x"].row(m) + c - i;
        if (i >= 2 * s[3]) {
          b["y"].row(m)[c] = x[i];
          continue;
        }
        const int64_t entry = m % kContext * s[3] + pair;
        const double cosine = b.ptr("cosines")[entry], sine = b.ptr("sines")[entry];
        b["y"].row(m)[c] =
            i == one ? x[one] * cosine - x[two] * sine : x[two] * cosine + x[one] * sine;
      }
    }
  }
  // y may be x
  void extra_on(Report& report, Context& ctx) const {
    for (const int64_t adjacent : {0, 1}) check_in_place(report, ctx, {9, 3, 34, 16, adjacent});
  }
  void check_in_place(Report& report, Context& ctx, const Shape& s) const {
    Buffers<float> b;
    declare(s, b);
    b.inout("place", s[0], s[1] * s[2]);
    rotate(ctx, s, b, b["y"], b["place"], 1);
    rotate(ctx, s, b, b["place"], b["place"], 1);
    if (ctx.device) ctx.device->synchronize();
    for (int64_t m = 0; m < s[0]; ++m) {
      if (std::memcmp(b["y"].row(m), b["place"].row(m), sizeof(float) * 3 * 34) != 0) {
        report.fail("y = x differs in place");
      }
    }
  }
  void perf(const Perf& p) const {
    for (const Shape& s : {Shape{3584, 8, 64, 32, 0}, Shape{3584, 8, 64, 32, 1}}) {
      Buffers<float> b;
      declare(s, b);
      p.measure(s[4] ? "3584 x 8 x 64, adjacent" : "3584 x 8 x 64", 0, 3584.0 * 512 * 8,
                [&] { forward(p.ctx, s, b); });
    }
  }
};

REGISTER_OP(RotaryCase)

}  // namespace
}  // namespace keyheads::test
