#include "ops/loss.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

const std::vector<Shape> kShapes = {{0, 8},   {1, 1},   {1, 2},    {3, 15},   {4, 16},   {2, 33},
                                    {9, 127}, {5, 256}, {40, 512}, {3, 1000}, {3, 32000}};

double log_sum_exp(const double* x, int64_t n) {
  const double top = *std::max_element(x, x + n);
  double sum = 0;
  for (int64_t i = 0; i < n; ++i) sum += std::exp(x[i] - top);
  return top + std::log(sum);
}

struct CrossEntropyCase {
  const char* name = "cross_entropy";
  double tolerance = 2e-6;
  static constexpr bool any_alignment = true;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return {random.size(40), random.size(600)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("logits");
    b.in("logits", s[0], s[1], [&](int64_t, int64_t) { return 3 * random.normal(); });
    b.out("loss", 1, s[0]);
    b.gradient(Role::sets, "logits");
    std::vector<int32_t> targets;
    for (int64_t r = 0; r < s[0]; ++r) targets.push_back(random.below(s[1]));
    b.ints("targets", targets);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::cross_entropy(ctx, ops::CrossEntropy<T>{.loss = b.ptr("loss"),
                                                 .dlogits = {},
                                                 .logits = b["logits"],
                                                 .targets = b.ints("targets"),
                                                 .weights = nullptr});
  }
  template <class T>
  void backward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::cross_entropy(ctx, ops::CrossEntropy<T>{.loss = b.ptr("loss"),
                                                 .dlogits = b["dlogits"],
                                                 .logits = b["logits"],
                                                 .targets = b.ints("targets"),
                                                 .weights = b.ptr("dloss")});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      const double* x = b["logits"].row(r);
      b.ptr("loss")[r] = log_sum_exp(x, s[1]) - x[b.ints("targets")[r]];
    }
  }
  // dlogits may be logits
  void extra_on(Report& report, Context& ctx) const {
    for (const Shape& s : {Shape{7, 130}, Shape{2, 1500}}) {
      Buffers<float> b;
      declare(s, b);
      backward(ctx, s, b);
      Mat<float> logits = b["logits"];
      ops::cross_entropy(ctx, ops::CrossEntropy<float>{.loss = b.ptr("loss"),
                                                       .dlogits = logits,
                                                       .logits = logits,
                                                       .targets = b.ints("targets"),
                                                       .weights = b.ptr("dloss")});
      if (ctx.device) ctx.device->synchronize();
      for (int64_t r = 0; r < s[0]; ++r) {
        if (std::memcmp(logits.row(r), b["dlogits"].row(r), s[1] * sizeof(float)) != 0) {
          report.fail("dlogits = logits differs in place");
        }
      }
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {896, 512};
    Buffers<float> b;
    declare(s, b);
    p.measure("896 x 512", 0, 896.0 * 512 * 4, [&] { forward(p.ctx, s, b); });
    p.measure("with gradient", 0, 896.0 * 512 * 8, [&] { backward(p.ctx, s, b); });
  }
};

struct RowSummaryCase {
  const char* name = "row_summary";
  double tolerance = 2e-6;
  static constexpr bool any_alignment = true;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return {random.size(40), random.size(600)}; }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("logits");
    b.fixed("logits", s[0], s[1], [&](int64_t, int64_t) { return 3 * random.normal(); });
    b.saved("logsumexp", 1, s[0]);
  }
  template <class T>
  void forward(Context& ctx, const Shape&, Buffers<T>& b) const {
    ops::row_summary(
        ctx, ops::RowSummary<T>{
                 .argmax = nullptr, .logsumexp = b.ptr("logsumexp"), .logits = b["logits"]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (int64_t r = 0; r < s[0]; ++r) {
      b.ptr("logsumexp")[r] = log_sum_exp(b["logits"].row(r), s[1]);
    }
  }

  // The lowest index of the largest entry, wherever the ties are.
  template <class T>
  void check_argmax(Report& report, Context& ctx) const {
    Random random("argmax");
    for (const int64_t n : {1, 2, 7, 8, 15, 16, 17, 33, 64, 65, 200, 1100}) {
      for (int trial = 0; trial < (n > 1000 ? 4 : 40); ++trial) {
        Memory<T> row;
        for (int64_t i = 0; i < n; ++i) row.push_back(static_cast<T>(random.below(5)) - T(3));
        int32_t index = -1;
        ops::row_summary(ctx, ops::RowSummary<T>{.argmax = &index,
                                                 .logsumexp = nullptr,
                                                 .logits = Mat<T>{row.data(), 1, n, n}});
        const auto want = std::max_element(row.begin(), row.end()) - row.begin();
        if (index != want) {
          report.fail(std::string(isa_name(ctx.isa)) + " argmax of " + std::to_string(n) + ": " +
                      std::to_string(index) + ", expected " + std::to_string(want));
        }
      }
    }
  }
  void extra(Report& report) const {
    for (const Isa isa : supported_isas()) {
      Context ctx = context(isa, 1);
      check_argmax<double>(report, ctx);
    }
  }
  void extra_on(Report& report, Context& ctx) const {
    check_argmax<float>(report, ctx);
    check_infinite(report, ctx);
  }
  // What is impossible adds nothing; of a row of it alone the first is the largest.
  void check_infinite(Report& report, Context& ctx) const {
    Memory<float> x(1100, -INFINITY);
    int32_t argmax[2];
    float total[2];
    for (const int64_t n : {3, 70, 1100}) {
      x[static_cast<size_t>(n - 1)] = 2;
      ops::row_summary(ctx,
                       ops::RowSummary<float>{
                           .argmax = argmax, .logsumexp = total, .logits = {x.data(), 1, n, n}});
      if (argmax[0] != n - 1 || total[0] != 2) report.fail("a row of one possible entry");
      x[static_cast<size_t>(n - 1)] = -INFINITY;
      ops::row_summary(ctx,
                       ops::RowSummary<float>{
                           .argmax = argmax, .logsumexp = nullptr, .logits = {x.data(), 1, n, n}});
      if (argmax[0] != 0) report.fail("a row of no possible entry");
    }
  }
  void perf(const Perf& p) const {
    const Shape s = {896, 512};
    Buffers<float> b;
    declare(s, b);
    std::vector<int32_t> argmax(896);
    p.measure("logsumexp 896 x 512", 0, 896.0 * 512 * 4, [&] { forward(p.ctx, s, b); });
    p.measure("argmax 896 x 512", 0, 896.0 * 512 * 4, [&] {
      ops::row_summary(p.ctx,
                       ops::RowSummary<float>{
                           .argmax = argmax.data(), .logsumexp = nullptr, .logits = b["logits"]});
    });
  }
};

REGISTER_OP(CrossEntropyCase)
REGISTER_OP(RowSummaryCase)

}  // namespace
}  // namespace keyheads::test
