#include "ops/attention_steps.h"

#include "attention_cases.h"

namespace keyheads::test {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// As in the fused op, with bf16 = true a device has nothing to round of what it rounds.
template <bool bf16>
struct ScoresOf {
  const char* name = bf16 ? "attention_scores_bf16" : "attention_scores";
  double tolerance = 3e-6;
  double tolerance_on_device() const { return bf16 ? 5e-5 : tolerance; }  // weights have 16 bits
  std::vector<Shape> shapes() const { return attention_shapes(bf16); }
  std::vector<Shape> device_shapes() const { return attention_device_shapes(bf16); }
  Shape random_shape(Random& random) const { return attention_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.out("scores", 1, pattern_size(s));
    b.bf16 = bf16;
    b.in("q", rows_of(s), s[0] * s[2]);
    b.in("k", rows_of(s), s[1] * s[2]);
    declare_past(s, b);
    for (const char* name : {"q", "k"}) b.gradient(Role::sets, name);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_scores(ctx, ops::AttentionScores<T>{.scores = b.ptr("scores"),
                                                       .q = b["q"],
                                                       .k = b["k"],
                                                       .segments = layout.segments.data(),
                                                       .pattern_offsets = layout.offsets.data(),
                                                       .segment_count = layout.count(),
                                                       .heads = s[0],
                                                       .groups = s[1],
                                                       .width = s[2],
                                                       .scale = static_cast<T>(scale_of(s)),
                                                       .cap = static_cast<T>(cap_of(s)),
                                                       .window = s[3],
                                                       .bf16 = bf16});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_scores_backward(
        ctx, ops::AttentionScoresBackward<T>{.dq = b["dq"],
                                             .dk = b["dk"],
                                             .dscores = b.ptr("dscores"),
                                             .scores = b.ptr("scores"),
                                             .q = b["q"],
                                             .k = b["k"],
                                             .segments = layout.segments.data(),
                                             .pattern_offsets = layout.offsets.data(),
                                             .segment_count = layout.count(),
                                             .heads = s[0],
                                             .groups = s[1],
                                             .width = s[2],
                                             .scale = static_cast<T>(scale_of(s)),
                                             .cap = static_cast<T>(cap_of(s)),
                                             .window = s[3],
                                             .bf16 = bf16});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const Mat<double> q = b["q"];
    const Keys keys(b, "k");
    double* scores = b.ptr("scores");
    for_queries(s, [&](const Query& x) {
      for (int64_t j = 0; j < x.keys(); ++j) {
        scores[x.offset + j] =
            sees(s, x.past + x.query, j) ? plain_score(s, q, keys, x, j) : -kInfinity;
      }
    });
  }
};

struct SoftmaxCase {
  const char* name = "attention_softmax";
  static constexpr bool any_alignment = true;
  std::vector<Shape> shapes() const { return attention_shapes(); }
  std::vector<Shape> device_shapes() const { return attention_device_shapes(); }
  Shape random_shape(Random& random) const { return attention_shape(random); }
  // Relative errors in units of 2^-24, of a row that sees n keys, for a score x below its highest:
  // exp(-x) is off by 2 (its polynomial) and x (the rounding of x); their sum in W >= 4 lanes by 2,
  // by the x of its large terms (3) and by n / W + log2 W additions; its inverse and the product
  // with it by 1 each. dscores = p (dp - sum(p dp)): p enters twice, then n / W + log2 W additions
  // and 2 roundings.
  static double units(double n, double x) { return 2 + x + (2 + 3 + n / 4 + 2) + 2; }
  static double gradient_units(double n, double x) { return 2 * units(n, x) + (n / 4 + 2) + 2; }
  std::vector<double> bounds(const Shape& s, Buffers<double>& exact,
                             const std::string& name) const {
    constexpr double kUnit = 0x1p-24;
    const double *scores = exact.ptr("scores"), *p = exact.ptr("pattern");
    const double* dp = exact.ptr("dpattern");
    std::vector<double> bound(static_cast<size_t>(pattern_size(s)));
    for_queries(s, [&](const Query& x) {
      const double top = *std::max_element(scores + x.offset, scores + x.offset + x.keys());
      double seen = 0, sum = 0;
      for (int64_t i = x.offset; i < x.offset + x.keys(); ++i) {
        seen += p[i] > 0;
        sum += p[i] * std::abs(dp[i]);
      }
      for (int64_t i = x.offset; i < x.offset + x.keys(); ++i) {
        if (p[i] == 0) continue;
        const double below = top - scores[i];
        bound[static_cast<size_t>(i)] =
            kUnit * p[i] *
            (name == "pattern" ? units(seen, below)
                               : gradient_units(seen, below) * (std::abs(dp[i]) + sum));
      }
    });
    return bound;
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const std::vector<char> seen = seen_entries(s);
    const double* normal = normals("scores", pattern_size(s)).data();
    b.in("scores", 1, pattern_size(s), [&](int64_t, int64_t c) {
      return seen[static_cast<size_t>(c)] ? 2 * normal[c] : -kInfinity;
    });
    b.out("pattern", 1, pattern_size(s));
    b.gradient(Role::sets, "scores");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_softmax(ctx, ops::AttentionSoftmax<T>{.pattern = b.ptr("pattern"),
                                                         .scores = b.ptr("scores"),
                                                         .segments = layout.segments.data(),
                                                         .pattern_offsets = layout.offsets.data(),
                                                         .segment_count = layout.count(),
                                                         .heads = s[0]});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_softmax_backward(
        ctx, ops::AttentionSoftmaxBackward<T>{.dscores = b.ptr("dscores"),
                                              .dpattern = b.ptr("dpattern"),
                                              .pattern = b.ptr("pattern"),
                                              .segments = layout.segments.data(),
                                              .pattern_offsets = layout.offsets.data(),
                                              .segment_count = layout.count(),
                                              .heads = s[0]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    double *scores = b.ptr("scores"), *pattern = b.ptr("pattern");
    for_queries(s, [&](const Query& x) {
      const std::vector<double> p = plain_softmax(scores + x.offset, x.keys());
      std::copy(p.begin(), p.end(), pattern + x.offset);
    });
  }
};

// With every = true, the pattern has weights on keys that the queries do not see, as a hook may
// leave it.
template <bool every, bool bf16>
struct MixOf {
  const char* name = bf16 ? "attention_mix_bf16" : every ? "attention_mix_edited" : "attention_mix";
  double tolerance = 3e-6;
  double tolerance_on_device() const { return bf16 ? 5e-5 : tolerance; }  // weights have 16 bits
  std::vector<Shape> shapes() const { return attention_shapes(bf16); }
  std::vector<Shape> device_shapes() const { return attention_device_shapes(bf16); }
  Shape random_shape(Random& random) const { return attention_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("pattern");
    const std::vector<char> seen = seen_entries(s);
    b.in("pattern", 1, pattern_size(s), [&](int64_t, int64_t c) {
      return every || seen[static_cast<size_t>(c)] ? random.uniform() : 0.0;
    });
    b.bf16 = bf16;
    b.in("v", rows_of(s), s[1] * s[2]);
    declare_past(s, b);
    b.out("z", rows_of(s), s[0] * s[2]);
    for (const char* name : {"pattern", "v"}) b.gradient(Role::sets, name);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_mix(ctx, ops::AttentionMix<T>{.z = b["z"],
                                                 .pattern = b.ptr("pattern"),
                                                 .v = b["v"],
                                                 .segments = layout.segments.data(),
                                                 .pattern_offsets = layout.offsets.data(),
                                                 .segment_count = layout.count(),
                                                 .heads = s[0],
                                                 .groups = s[1],
                                                 .width = s[2],
                                                 .bf16 = bf16});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_mix_backward(
        ctx, ops::AttentionMixBackward<T>{.dpattern = b.ptr("dpattern"),
                                          .dv = b["dv"],
                                          .dz = b["dz"],
                                          .v = b["v"],
                                          .pattern = b.ptr("pattern"),
                                          .segments = layout.segments.data(),
                                          .pattern_offsets = layout.offsets.data(),
                                          .segment_count = layout.count(),
                                          .heads = s[0],
                                          .groups = s[1],
                                          .width = s[2],
                                          .bf16 = bf16});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const double* pattern = b.ptr("pattern");
    const Keys values(b, "v");
    const Mat<double> z = b["z"];
    for_queries(s, [&](const Query& x) {
      for (int64_t e = 0; e < s[2]; ++e) {
        double sum = 0;
        for (int64_t j = 0; j < x.keys(); ++j) {
          sum += pattern[x.offset + j] * values.row(s, x, j)[e];
        }
        z.row(x.row + x.query)[x.head * s[2] + e] = sum;
      }
    });
  }
};

REGISTER_OP(ScoresOf<false>)
REGISTER_OP(ScoresOf<true>)
REGISTER_OP(SoftmaxCase)
REGISTER_OP(MixOf<false, false>)
REGISTER_OP(MixOf<true, false>)
REGISTER_OP(MixOf<true, true>)

}  // namespace
}  // namespace keyheads::test
