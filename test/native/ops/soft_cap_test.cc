#include "ops/soft_cap.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows, columns, cap
struct SoftCapCase {
  const char* name = "soft_cap";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const {
    return {{0, 8, 1},   {1, 1, 30},  {1, 15, 1},  {3, 16, 2}, {2, 17, 50},  {5, 31, 1},
            {4, 32, 30}, {4, 33, 50}, {7, 63, 30}, {7, 65, 2}, {33, 127, 1}, {300, 129, 30}};
  }
  Shape random_shape(Random& random) const {
    return {random.size(70), random.size(300), random.between(1, 50)};
  }
  // From far inside the linear part to far beyond the cap.
  static double value(int64_t r, int64_t c) {
    return std::sin(static_cast<double>(3 * r + c)) *
           std::pow(10.0, static_cast<double>(c % 6 - 3));
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("x", s[0], s[1], value);
    b.out("y", s[0], s[1]);
    b.gradient(Role::sets, "x");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::soft_cap(ctx, ops::SoftCap<T>{.y = b["y"], .x = b["x"], .cap = static_cast<T>(s[2])});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::soft_cap_backward(
        ctx, ops::SoftCapBackward<T>{
                 .dx = b["dx"], .dy = b["dy"], .y = b["y"], .cap = static_cast<T>(s[2])});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const auto cap = static_cast<double>(s[2]);
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) b["y"].row(r)[c] = cap * std::tanh(b["x"].row(r)[c] / cap);
    }
  }
  // Small values keep their relative precision, large ones reach the cap, y may be x.
  void extra_on(Report& report, Context& ctx) const {
    Memory<float> x;
    for (double v = 1e-6; v < 1e3; v *= 1.07) {
      x.push_back(static_cast<float>(v));
      x.push_back(static_cast<float>(-v));
    }
    const Memory<float> y = x;
    const auto n = static_cast<int64_t>(x.size());
    const Mat<float> row{x.data(), 1, n, n};
    ops::soft_cap(ctx, ops::SoftCap<float>{.y = row, .x = row, .cap = 1});
    if (ctx.device) ctx.device->synchronize();
    for (size_t i = 0; i < x.size(); ++i) {
      const double want = std::tanh(static_cast<double>(y[i]));
      const double error = std::abs(x[i] - want) / std::abs(want);
      report.compare(error / 3e-7, [&] {
        return std::string("tanh(") + std::to_string(y[i]) + ") has an error of " +
               std::to_string(error);
      });
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {64, 32000, 30};
    Buffers<float> b;
    declare(s, b);
    p.measure("64 x 32000", 0, 64.0 * 32000 * 8, [&] { forward(p.ctx, s, b); });
  }
};

REGISTER_OP(SoftCapCase)

}  // namespace
}  // namespace keyheads::test
