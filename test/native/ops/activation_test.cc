#include "ops/activation.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

using ops::Activation;

double formula(Activation kind, double x) {
  switch (kind) {
    case Activation::gelu:
      return 0.5 * x * std::erfc(-x / std::sqrt(2.0));
    case Activation::gelu_new:
      // (1 + tanh(u)) / 2 = 1 / (1 + exp(-2 u)), which does not cancel far left
      return x / (1 + std::exp(-2 * std::sqrt(2 / std::acos(-1.0)) * (x + 0.044715 * x * x * x)));
    case Activation::relu:
      return std::max(x, 0.0);
    case Activation::silu:
      return x / (1 + std::exp(-x));
  }
  return 0;
}

// shape: rows, columns, kind, gated
struct ActivateCase {
  const char* name = "activate";
  double tolerance = 4e-7;
  std::vector<Shape> shapes() const {
    std::vector<Shape> all;
    for (int64_t kind = 0; kind < 4; ++kind) {
      for (int64_t gated = 0; gated < 2; ++gated) {
        all.insert(all.end(), {{0, 8, kind, gated},
                               {1, 1, kind, gated},
                               {3, 15, kind, gated},
                               {2, 33, kind, gated},
                               {90, 65, kind, gated},
                               {20, 512, kind, gated}});
      }
    }
    return all;
  }
  Shape random_shape(Random& random) const {
    return {random.size(70), random.size(300), random.below(4), random.below(2)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("activation");
    b.in("x", s[0], s[1], [&](int64_t, int64_t) { return 3 * random.normal(); });
    b.out("y", s[0], s[1]);
    b.gradient(Role::sets, "x");
    if (s[3] == 0) return;
    b.in("linear", s[0], s[1]);
    b.gradient(Role::sets, "linear");
  }
  template <class T>
  static Mat<T> optional(Buffers<T>& b, const char* field) {
    return b.has(field) ? b[field] : Mat<T>{};
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    ops::activate(ctx, ops::Activate<T>{.y = b["y"],
                                        .x = b["x"],
                                        .linear = optional(b, "linear"),
                                        .kind = static_cast<Activation>(s[2])});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    backward_by(ctx, s, b, false);
  }
  template <class T>
  void backward_by(Context& ctx, const Shape& s, Buffers<T>& b, bool secant) const {
    ops::activate_backward(ctx, ops::ActivateBackward<T>{.dx = b["dx"],
                                                         .dlinear = optional(b, "dlinear"),
                                                         .dy = b["dy"],
                                                         .x = b["x"],
                                                         .linear = optional(b, "linear"),
                                                         .kind = static_cast<Activation>(s[2]),
                                                         .secant = secant});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      for (int64_t c = 0; c < s[1]; ++c) {
        const double y = formula(static_cast<Activation>(s[2]), b["x"].row(r)[c]);
        b["y"].row(r)[c] = s[3] ? y * b["linear"].row(r)[c] : y;
      }
    }
  }

  // From far left to far right the error stays small relative to each value, not only to the
  // largest; the ends neither overflow nor give NaN.
  void extra_on(Report& report, Context& ctx) const {
    check_secant(report, ctx);
    for (int kind = 0; kind < 4; ++kind) {
      constexpr int64_t kCount = 4001;
      Buffers<float> b;
      b.in("x", 1, kCount,
           [](int64_t, int64_t c) { return (static_cast<double>(c) - 2000) / 100; });
      b.out("y", 1, kCount);
      forward(ctx, {1, kCount, kind, 0}, b);
      if (ctx.device) ctx.device->synchronize();
      for (int64_t c = 0; c < kCount; ++c) {
        const double x = b["x"].data[c], want = formula(static_cast<Activation>(kind), x);
        const double share = std::abs(b["y"].data[c] - want) / (2e-5 * std::abs(want) + 1e-30);
        report.compare(share, [&] {
          return std::string(isa_name(ctx.isa)) + " kind " + std::to_string(kind) + " at " +
                 std::to_string(x) + ": " + std::to_string(b["y"].data[c]) + ", expected " +
                 std::to_string(want);
        });
      }
      check_ends(report, ctx, kind);
    }
  }

  // The secant rule has no function of its own to take differences of: its formula is checked.
  void check_secant(Report& report, Context& ctx) const {
    Context on_cpu = ctx;
    on_cpu.device = nullptr;
    for (const Shape& s : shapes()) {
      Buffers<double> exact;
      Buffers<float> rounded;
      declare(s, exact);
      declare(s, rounded);
      backward_by(on_cpu, s, exact, true);
      backward_by(ctx, s, rounded, true);
      if (ctx.device) ctx.device->synchronize();
      for (int64_t r = 0; r < s[0]; ++r) {
        for (int64_t c = 0; c < s[1]; ++c) {
          const double x = exact["x"].row(r)[c], dy = exact["dy"].row(r)[c];
          const double y = formula(static_cast<Activation>(s[2]), x);
          const double factor = s[3] ? exact["linear"].row(r)[c] / 2 : 1;
          check(report, s, "dx", exact["dx"].row(r)[c], rounded["dx"].row(r)[c],
                dy * y / x * factor);
          if (s[3] == 0) continue;
          check(report, s, "dlinear", exact["dlinear"].row(r)[c], rounded["dlinear"].row(r)[c],
                dy * y / 2);
        }
      }
    }
  }

  static void check(Report& report, const Shape& s, const char* what, double exact, double rounded,
                    double want) {
    const double size = std::abs(want) + 1;
    report.compare(
        std::max(std::abs(exact - want) / (1e-12 * size), std::abs(rounded - want) / (4e-6 * size)),
        [&] {
          return "secant " + std::string(what) + " of kind " + std::to_string(s[2]) + ": " +
                 std::to_string(exact) + " and " + std::to_string(rounded) + ", expected " +
                 std::to_string(want);
        });
  }

  void check_ends(Report& report, Context& ctx, int kind) const {
    for (const double far : {100.0, 1e6, 3e38}) {
      Buffers<float> b;
      b.in("x", 1, 16, [&](int64_t, int64_t c) { return c % 2 == 0 ? far : -far; });
      b.out("y", 1, 16);
      b.gradient(Role::sets, "x");
      const Shape s = {1, 16, kind, 0};
      forward(ctx, s, b);
      backward(ctx, s, b);
      if (ctx.device) ctx.device->synchronize();
      for (int64_t c = 0; c < 16; ++c) {
        const bool right = c % 2 == 0;
        const float y = b["y"].data[c], dx = b["dx"].data[c];
        const float slope = right ? b["dy"].data[c] : 0.0f;
        const float end = right ? static_cast<float>(far) : 0.0f;
        if (!(std::abs(y - end) <= 1e-35f) || dx != slope) {
          report.fail("kind " + std::to_string(kind) + " at " + std::to_string(far) + ": y " +
                      std::to_string(y) + ", dx " + std::to_string(dx));
        }
      }
    }
  }

  void perf(const Perf& p) const {
    const char* names[] = {"gelu", "gelu_new", "relu", "silu"};
    for (int64_t kind = 0; kind < 4; ++kind) {
      const Shape s = {896, 1024, kind, kind == 3};
      Buffers<float> b;
      declare(s, b);
      const double bytes = 896.0 * 1024 * (kind == 3 ? 12 : 8);
      p.measure(names[kind] + std::string(" 896 x 1024"), 0, bytes, [&] { forward(p.ctx, s, b); });
      p.measure("backward", 0, bytes + 896.0 * 1024 * (kind == 3 ? 8 : 4),
                [&] { backward(p.ctx, s, b); });
    }
  }
};

REGISTER_OP(ActivateCase)

}  // namespace
}  // namespace keyheads::test
