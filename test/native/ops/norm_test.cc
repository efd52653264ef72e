#include "ops/norm.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: rows, columns, centre, bias; the gain's offset alternates with the columns
const std::vector<Shape> kShapes = {
    {0, 16, 1, 1},   {1, 2, 1, 1},    {1, 15, 1, 1},  {3, 16, 0, 0},   {2, 17, 1, 1},
    {5, 31, 0, 0},   {4, 32, 1, 0},   {4, 33, 1, 1},  {7, 63, 0, 0},   {7, 64, 1, 1},
    {300, 65, 1, 1}, {33, 127, 0, 0}, {9, 256, 1, 1}, {70, 384, 1, 1}, {200, 512, 0, 0}};
constexpr double kEps = 1e-5;

Shape some_shape(Random& random) {
  return {random.size(130), random.size(520), random.below(2), random.below(2)};
}

template <class T>
T offset_of(const Shape& s) {
  return static_cast<T>(s[1] / 16 % 2);
}

template <class T>
void declare_scale(const Shape& s, Buffers<T>& b) {
  b.in("x", s[0], s[1]);
  b.saved("mean", 1, s[0]);
}

template <class T>
ops::NormScale<T> scale_args(const Shape& s, Buffers<T>& b, T* scale) {
  return {.mean = b.ptr("mean"), .scale = scale, .x = b["x"], .eps = T(kEps), .centre = s[2] == 1};
}

struct NormCase {
  const char* name = "norm";
  double tolerance = 1e-6;
  static constexpr bool any_alignment = true;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    declare_scale(s, b);
    b.saved("scale", 1, s[0]);
    b.in("gain", 1, s[1]);
    b.out("y", s[0], s[1]);
    b.gradient(s[0] % 2 == 1 ? Role::adds : Role::sets, "x");
    b.gradient(Role::adds, "gain");
    if (s[3] == 0) return;
    b.in("bias", 1, s[1]);
    b.gradient(Role::adds, "bias");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm(ctx, ops::Norm<T>{.y = b["y"],
                                .mean = b.ptr("mean"),
                                .scale = b.ptr("scale"),
                                .x = b["x"],
                                .gain = b.ptr("gain"),
                                .bias = b.ptr("bias"),
                                .offset = offset_of<T>(s),
                                .eps = T(kEps),
                                .centre = s[2] == 1});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_backward(ctx, ops::NormBackward<T>{.dx = b["dx"],
                                                 .dgain = b.ptr("dgain"),
                                                 .dbias = b.ptr("dbias"),
                                                 .dy = b["dy"],
                                                 .x = b["x"],
                                                 .mean = b.ptr("mean"),
                                                 .scale = b.ptr("scale"),
                                                 .gain = b.ptr("gain"),
                                                 .offset = offset_of<T>(s),
                                                 .centre = s[2] == 1,
                                                 .accumulate = s[0] % 2 == 1});
  }
  // Beside the tolerance, what cancels in a row loses digits: x - mean where its columns are nearly
  // equal, and in dx, with h = (x - mean) / scale and g = dy (offset + gain), g - mean(g) - h
  // mean(g h).
  std::vector<double> bounds(const Shape& s, Buffers<double>& exact,
                             const std::string& name) const {
    if (name != "y" && name != "dx") return {};
    Field<double>& out = exact.field(name);
    const double size = size_of(out), n = static_cast<double>(s[1]);
    std::vector<double> all;
    for (int64_t m = 0; m < s[0]; ++m) {
      const double* x = exact["x"].row(m);
      const double scale = exact.ptr("scale")[m], mean = exact.ptr("mean")[m];
      const auto gain = [&](int64_t c) {
        return std::abs(offset_of<double>(s) + exact.ptr("gain")[c]);
      };
      double largest = 0, sum_g = 0, sum_gh = 0;
      for (int64_t c = 0; c < s[1]; ++c) {
        const double g = std::abs(exact["dy"].row(m)[c]) * gain(c);
        largest = std::max(largest, std::abs(x[c]));
        sum_g += g / n;
        sum_gh += g * std::abs(x[c] - mean) / scale / n;
      }
      const double lost = s[2] == 1 ? largest / scale : 0;  // of h, in units of its rounding
      for (int64_t c = 0; c < s[1]; ++c) {
        const double h = std::abs(x[c] - mean) / scale;
        const double g = std::abs(exact["dy"].row(m)[c]) * gain(c);
        const double terms = g + sum_g + h * sum_gh;
        const double of_h = lost * ((1 + h) * sum_gh + h * (sum_g + sum_gh) + terms);
        const double cancels = name == "y" ? gain(c) * lost * (1 + h) : (terms + of_h) / scale;
        all.push_back(tolerance * (std::abs(out.at(m, c)) + size + cancels));
      }
    }
    return all;
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t m = 0; m < s[0]; ++m) {
      const double* x = b["x"].row(m);
      const double n = static_cast<double>(s[1]);
      double mean = 0, square = 0;
      for (int64_t c = 0; c < s[1]; ++c) mean += s[2] ? x[c] / n : 0;
      for (int64_t c = 0; c < s[1]; ++c) square += (x[c] - mean) * (x[c] - mean) / n;
      b.ptr("mean")[m] = mean;
      const double scale = b.ptr("scale")[m] = std::sqrt(square + kEps);
      for (int64_t c = 0; c < s[1]; ++c) {
        const double bias = s[3] ? b.ptr("bias")[c] : 0;
        b["y"].row(m)[c] = (x[c] - mean) / scale * (offset_of<double>(s) + b.ptr("gain")[c]) + bias;
      }
    }
  }

  // Norm gives the bits of its three steps, and of each row alone.
  template <class T>
  void check_bits(Report& report, Context& ctx, const Shape& s) const {
    Buffers<T> b, steps;
    for (Buffers<T>* each : {&b, &steps}) declare(s, *each);
    forward(ctx, s, b);
    steps.out("normalized", s[0], s[1]);
    ops::norm_scale(ctx, scale_args(s, steps, steps.ptr("scale")));
    ops::norm_divide(ctx, ops::NormDivide<T>{.normalized = steps["normalized"],
                                             .x = steps["x"],
                                             .mean = steps.ptr("mean"),
                                             .scale = steps.ptr("scale")});
    ops::norm_affine(ctx, ops::NormAffine<T>{.y = steps["y"],
                                             .normalized = steps["normalized"],
                                             .gain = steps.ptr("gain"),
                                             .bias = steps.ptr("bias"),
                                             .offset = offset_of<T>(s)});
    Memory<T> alone(static_cast<size_t>(s[1])), moments(2);
    for (int64_t m = 0; m < s[0]; ++m) {
      ops::norm(ctx, ops::Norm<T>{.y = {alone.data(), 1, s[1], s[1]},
                                  .mean = &moments[0],
                                  .scale = &moments[1],
                                  .x = {b["x"].row(m), 1, s[1], s[1]},
                                  .gain = b.ptr("gain"),
                                  .bias = b.ptr("bias"),
                                  .offset = offset_of<T>(s),
                                  .eps = T(kEps),
                                  .centre = s[2] == 1});
      if (ctx.device) ctx.device->synchronize();
      const size_t bytes = alone.size() * sizeof(T);
      if (std::memcmp(b["y"].row(m), steps["y"].row(m), bytes) != 0) {
        report.fail("row " + std::to_string(m) + ": the three steps give other bits");
      }
      if (std::memcmp(b["y"].row(m), alone.data(), bytes) != 0) {
        report.fail("row " + std::to_string(m) + ": other bits than alone");
      }
    }
  }
  void each(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    check_bits<double>(report, ctx, s);
  }
  void each_on(Report& report, Context& ctx, const Shape& s) const {
    check_bits<float>(report, ctx, s);
  }
  void perf(const Perf& p) const {
    const Shape s = {3584, 512, 1, 1};
    Buffers<float> b;
    declare(s, b);
    p.measure("layer norm 3584 x 512", 0, 3584.0 * 512 * 8, [&] { forward(p.ctx, s, b); });
    p.measure("backward", 0, 3584.0 * 512 * 12, [&] { backward(p.ctx, s, b); });
  }
};

struct NormScaleCase {
  const char* name = "norm_scale";
  double tolerance = 1e-6;
  static constexpr bool any_alignment = true;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    declare_scale(s, b);
    b.out("scale", 1, s[0]);
    b.gradient(Role::adds, "x");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_scale(ctx, scale_args(s, b, b.ptr("scale")));
  }
  template <class T>
  void backward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::norm_scale_backward(ctx, ops::NormScaleBackward<T>{.dx = b["dx"],
                                                            .dscale = b.ptr("dscale"),
                                                            .x = b["x"],
                                                            .mean = b.ptr("mean"),
                                                            .scale = b.ptr("scale")});
  }
};

// The mean is a function of x, the scale is given.
struct NormDivideCase {
  const char* name = "norm_divide";
  double tolerance = 1e-6;
  // The terms of a scale's gradient cancel, so that it has the error of all of them: the mean,
  // normalized (twice) and the sum, which a device takes in float, are rounded.
  std::vector<double> bounds(const Shape& s, Buffers<double>& exact,
                             const std::string& name) const {
    std::vector<double> bound;
    if (name != "dscale") return bound;
    constexpr double kUnit = 0x1p-24;
    for (int64_t m = 0; m < s[0]; ++m) {
      const double scale = exact["scale"].row(0)[m], mean = exact["mean"].row(0)[m];
      double sum = 0;
      for (int64_t c = 0; c < s[1]; ++c) {
        sum += std::abs(exact["dnormalized"].row(m)[c]) *
               (4 * std::abs(exact["normalized"].row(m)[c]) + std::abs(mean) / scale);
      }
      bound.push_back(kUnit * (sum / scale + std::abs(exact["dscale"].row(0)[m])));
    }
    return bound;
  }
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    declare_scale(s, b);
    b.in("scale", 1, s[0], [](int64_t, int64_t c) { return 0.5 + static_cast<double>(c % 7); });
    b.saved("unused", 1, s[0]);
    b.out("normalized", s[0], s[1]);
    b.gradient(Role::sets, "x");
    b.gradient(Role::sets, "scale");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_scale(ctx, scale_args(s, b, b.ptr("unused")));
    ops::norm_divide(ctx, ops::NormDivide<T>{.normalized = b["normalized"],
                                             .x = b["x"],
                                             .mean = b.ptr("mean"),
                                             .scale = b.ptr("scale")});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_divide_backward(ctx, ops::NormDivideBackward<T>{.dx = b["dx"],
                                                              .dscale = b.ptr("dscale"),
                                                              .dnormalized = b["dnormalized"],
                                                              .normalized = b["normalized"],
                                                              .scale = b.ptr("scale"),
                                                              .centre = s[2] == 1});
  }
};

struct NormAffineCase {
  const char* name = "norm_affine";
  double tolerance = 1e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("normalized", s[0], s[1]);
    b.in("gain", 1, s[1]);
    b.out("y", s[0], s[1]);
    b.gradient(Role::sets, "normalized");
    b.gradient(Role::adds, "gain");
    if (s[3] == 0) return;
    b.in("bias", 1, s[1]);
    b.gradient(Role::adds, "bias");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_affine(ctx, ops::NormAffine<T>{.y = b["y"],
                                             .normalized = b["normalized"],
                                             .gain = b.ptr("gain"),
                                             .bias = b.ptr("bias"),
                                             .offset = offset_of<T>(s)});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::norm_affine_backward(ctx, ops::NormAffineBackward<T>{.dnormalized = b["dnormalized"],
                                                              .dgain = b.ptr("dgain"),
                                                              .dbias = b.ptr("dbias"),
                                                              .dy = b["dy"],
                                                              .normalized = b["normalized"],
                                                              .gain = b.ptr("gain"),
                                                              .offset = offset_of<T>(s)});
  }
};

REGISTER_OP(NormCase)
REGISTER_OP(NormScaleCase)
REGISTER_OP(NormDivideCase)
REGISTER_OP(NormAffineCase)

}  // namespace
}  // namespace keyheads::test
