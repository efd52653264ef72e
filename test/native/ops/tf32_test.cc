// What Context::tf32 does to products on a device, and what it leaves alone.
#include <functional>

#include "op_case.h"
#include "ops/linear.h"

namespace keyheads::test {
namespace {

constexpr int64_t kRows = 40, kIn = 136, kOut = 72;

struct Worst {
  double error;  // of all elements, in units of the sum of |x w|
  std::vector<float> values;
};

// One of the three products of a linear map, whose factors keep their highest `bits` bits.
class Product {
 public:
  Product(Context& ctx, int which, int bits) : ctx_(ctx), which_(which) {
    static constexpr int64_t kSizes[3][3] = {
        {kRows, kOut, kIn}, {kRows, kIn, kOut}, {kOut, kIn, kRows}};
    m_ = kSizes[which][0], n_ = kSizes[which][1], depth_ = kSizes[which][2];
    x_ = drawn("x", kRows * kIn, bits);
    w_ = drawn("w", kOut * kIn, bits);
    dy_ = drawn("dy", kRows * kOut, bits);
  }

  Worst run(bool tf32) {
    ctx_.tf32 = tf32;
    Memory<float> out(static_cast<size_t>(m_ * n_), 0.0f);
    const Mat<float> c{out.data(), m_, n_, n_};
    const Mat<const float> x{x_.data(), kRows, kIn, kIn}, dy{dy_.data(), kRows, kOut, kOut};
    const Weight<float> w{w_.data(), kOut, kIn, Storage::full};
    if (which_ == 0) {
      ops::linear(ctx_, ops::Linear<float>{.y = c, .x = x, .w = w, .bias = nullptr});
    } else if (which_ == 1) {
      ops::linear_input_grad(
          ctx_, ops::LinearInputGrad<float>{.dx = c, .dy = dy, .w = w, .accumulate = false});
    } else {
      ops::linear_weight_grad(
          ctx_, ops::LinearWeightGrad<float>{.dw = c, .dy = dy, .x = x, .n0 = 0, .k0 = 0});
    }
    ctx_.tf32 = false;
    ctx_.device->synchronize();
    Worst worst{0, {out.begin(), out.end()}};
    for (int64_t i = 0; i < m_; ++i) {
      for (int64_t j = 0; j < n_; ++j) {
        double sum = 0, size = 0;
        for (int64_t p = 0; p < depth_; ++p) {
          const double term = left(i, p) * right(p, j);
          sum += term;
          size += std::abs(term);
        }
        worst.error = std::max(worst.error, std::abs(c.row(i)[j] - sum) / size);
      }
    }
    return worst;
  }

 private:
  static Memory<float> drawn(const char* name, int64_t count, int bits) {
    const auto drawn = normals(name, count);
    Memory<float> values(drawn.size());
    for (size_t i = 0; i < drawn.size(); ++i) {
      int exponent;
      const double fraction = std::frexp(drawn[i], &exponent);
      values[i] =
          static_cast<float>(std::ldexp(std::round(std::ldexp(fraction, bits)), exponent - bits));
    }
    return values;
  }
  double left(int64_t i, int64_t p) const {
    return which_ == 0   ? x_[static_cast<size_t>(i * kIn + p)]
           : which_ == 1 ? dy_[static_cast<size_t>(i * kOut + p)]
                         : dy_[static_cast<size_t>(p * kOut + i)];
  }
  double right(int64_t p, int64_t j) const {
    return which_ == 0   ? w_[static_cast<size_t>(j * kIn + p)]
           : which_ == 1 ? w_[static_cast<size_t>(p * kIn + j)]
                         : x_[static_cast<size_t>(p * kIn + j)];
  }

  Context& ctx_;
  int which_;
  int64_t m_, n_, depth_;
  Memory<float> x_, w_, dy_;
};

void check_device(Report& report, Device& device) {
  const OnDevice on(device, detect_isa());
  static const char* const kNames[] = {"linear", "linear_input_grad", "linear_weight_grad"};
  // Sums of at most 136 floats err by less than 136 u of the sum of their sizes, and by far less on
  // average; rounding both factors to 11 bits by at most 2^-10, and by hardly less than a
  // hundredth of that in the worst of thousands of sums.
  constexpr double kFloat = 5e-7, kMost = 0x1p-9, kLeast = 1e-5;
  for (int which = 0; which < 3; ++which) {
    report.count_case();
    const std::string name = kNames[which];
    const auto expect = [&](bool holds, const std::string& what, double error) {
      if (!holds) report.fail(name + ": " + what + ": " + std::to_string(error * 1e6) + "e-6");
    };
    Product whole(on.ctx, which, 24), eleven(on.ctx, which, 11);
    const Worst exact = whole.run(false), rounded = whole.run(true);
    expect(exact.error < kFloat, "not float without being asked for TF32", exact.error);
    expect(rounded.error > kLeast, "TF32 rounds nothing", rounded.error);
    expect(rounded.error < kMost, "TF32 rounds too much", rounded.error);
    const double kept = eleven.run(true).error;
    expect(kept < kFloat, "TF32 changes what has 11 bits", kept);
    expect(whole.run(false).values == exact.values, "TF32 stays on", 0);
  }
}

[[maybe_unused]] const bool registered =
    add_op_test({.name = "tf32", .test = {}, .perf = {}, .on_device = check_device});

}  // namespace
}  // namespace keyheads::test
