#include "ops/attention.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// shape: heads, groups, width, then the length of every sequence
const std::vector<Shape> kShapes = {{1, 1, 1, 1},
                                    {2, 2, 8},
                                    {2, 1, 15, 3, 1},
                                    {3, 3, 16, 7, 2, 9},
                                    {4, 2, 17, 5},
                                    {2, 2, 24, 16, 17, 15},
                                    {4, 4, 31, 12},
                                    {6, 2, 32, 31, 32, 33},
                                    {2, 1, 33, 18, 1},
                                    {4, 2, 48, 20, 6},
                                    {2, 2, 64, 63, 64, 65, 11},
                                    {8, 2, 64, 19},
                                    {1, 1, 65, 40},
                                    {2, 1, 127, 23},
                                    {2, 2, 16, 130},
                                    {1, 1, 24, 300}};

Shape some_shape(Random& random) {
  const int64_t groups = random.between(1, 4), heads = groups * random.between(1, 4);
  Shape s = {heads, groups, random.size(130)};
  for (int64_t i = random.between(1, 4); i > 0; --i) s.push_back(random.size(i == 1 ? 140 : 40));
  return s;
}

int64_t rows_of(const Shape& s) {
  int64_t rows = 0;
  for (size_t i = 3; i < s.size(); ++i) rows += s[i];
  return rows;
}

// The entries of all pattern buffers together.
int64_t pattern_size(const Shape& s) {
  int64_t size = 0;
  for (size_t i = 3; i < s.size(); ++i) size += s[0] * s[i] * s[i];
  return size;
}

template <class T>
struct Layout {
  std::vector<ops::Segment<T>> segments;
  std::vector<int64_t> offsets;
  explicit Layout(const Shape& s) {
    int64_t row = 0, offset = 0;
    for (size_t i = 3; i < s.size(); ++i) {
      segments.push_back({row, s[i], nullptr, nullptr, 0});
      offsets.push_back(offset);
      row += s[i];
      offset += s[0] * s[i] * s[i];
    }
  }
  int64_t count() const { return static_cast<int64_t>(segments.size()); }
};

double scale_of(const Shape& s) { return 1 / std::sqrt(static_cast<double>(s[2])); }

// Whether an entry of the pattern buffer is above its diagonal.
bool masked(const Shape& s, int64_t entry) {
  for (size_t i = 3; i < s.size(); ++i) {
    const int64_t size = s[0] * s[i] * s[i];
    if (entry < size) return entry % s[i] > entry / s[i] % s[i];
    entry -= size;
  }
  return false;
}

template <class F>
void for_queries(const Shape& s, const F& f) {  // f(first row, length, head, query, pattern row)
  int64_t row = 0, offset = 0;
  for (size_t i = 3; i < s.size(); ++i) {
    for (int64_t h = 0; h < s[0]; ++h) {
      for (int64_t q = 0; q < s[i]; ++q) f(row, s[i], h, q, offset + (h * s[i] + q) * s[i]);
    }
    row += s[i];
    offset += s[0] * s[i] * s[i];
  }
}

template <class T>
void declare_qkv(const Shape& s, Buffers<T>& b) {
  b.in("q", rows_of(s), s[0] * s[2]);
  b.in("k", rows_of(s), s[1] * s[2]);
  b.in("v", rows_of(s), s[1] * s[2]);
}

double score(const Shape& s, Buffers<double>& b, int64_t row, int64_t h, int64_t q, int64_t k) {
  double sum = 0;
  for (int64_t e = 0; e < s[2]; ++e) {
    sum += b["q"].row(row + q)[h * s[2] + e] * b["k"].row(row + k)[h / (s[0] / s[1]) * s[2] + e];
  }
  return sum * scale_of(s);
}

std::vector<double> softmax(const std::vector<double>& scores) {
  std::vector<double> p;
  double sum = 0;
  const double top = *std::max_element(scores.begin(), scores.end());
  for (const double x : scores) p.push_back(std::exp(x - top));
  for (const double x : p) sum += x;
  for (double& x : p) x /= sum;
  return p;
}

struct AttentionCase {
  const char* name = "attention";
  double tolerance = 6e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    declare_qkv(s, b);
    b.out("z", rows_of(s), s[0] * s[2]);
    for (const char* name : {"q", "k", "v"}) b.gradient(Role::sets, name);
  }
  template <class T>
  static ops::Attention<T> args(const Shape& s, Buffers<T>& b, const Layout<T>& layout) {
    return {.z = b["z"],
            .q = b["q"],
            .k = b["k"],
            .v = b["v"],
            .segments = layout.segments.data(),
            .segment_count = layout.count(),
            .heads = s[0],
            .groups = s[1],
            .width = s[2],
            .scale = static_cast<T>(scale_of(s))};
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention(ctx, args(s, b, layout));
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention_backward(ctx, ops::AttentionBackward<T>{.dq = b["dq"],
                                                           .dk = b["dk"],
                                                           .dv = b["dv"],
                                                           .dz = b["dz"],
                                                           .q = b["q"],
                                                           .k = b["k"],
                                                           .v = b["v"],
                                                           .segments = layout.segments.data(),
                                                           .segment_count = layout.count(),
                                                           .heads = s[0],
                                                           .groups = s[1],
                                                           .width = s[2],
                                                           .scale = static_cast<T>(scale_of(s))});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for_queries(s, [&](int64_t row, int64_t, int64_t h, int64_t q, int64_t) {
      std::vector<double> scores;
      for (int64_t k = 0; k <= q; ++k) scores.push_back(score(s, b, row, h, q, k));
      const std::vector<double> p = softmax(scores);
      for (int64_t e = 0; e < s[2]; ++e) {
        double sum = 0;
        for (int64_t k = 0; k <= q; ++k) {
          sum += p[static_cast<size_t>(k)] * b["v"].row(row + k)[h / (s[0] / s[1]) * s[2] + e];
        }
        b["z"].row(row + q)[h * s[2] + e] = sum;
      }
    });
  }

  void each(Report& report, Isa isa, const Shape& s) const {
    check_steps<float>(report, isa, s);
    check_steps<double>(report, isa, s);
    check_past<float>(report, isa, s);
    check_alone<float>(report, isa, s);
  }

  // The three steps give the bits of the fused op.
  template <class T>
  void check_steps(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    const Layout<T> layout(s);
    Buffers<T> b;
    declare(s, b);
    b.out("mixed", rows_of(s), s[0] * s[2]);
    b.out("pattern", 1, pattern_size(s));
    forward(ctx, s, b);
    ops::attention_scores(ctx, ops::AttentionScores<T>{.scores = b.ptr("pattern"),
                                                       .q = b["q"],
                                                       .k = b["k"],
                                                       .segments = layout.segments.data(),
                                                       .pattern_offsets = layout.offsets.data(),
                                                       .segment_count = layout.count(),
                                                       .heads = s[0],
                                                       .groups = s[1],
                                                       .width = s[2],
                                                       .scale = static_cast<T>(scale_of(s))});
    ops::attention_softmax(ctx, ops::AttentionSoftmax<T>{.pattern = b.ptr("pattern"),
                                                         .scores = b.ptr("pattern"),
                                                         .segments = layout.segments.data(),
                                                         .pattern_offsets = layout.offsets.data(),
                                                         .segment_count = layout.count(),
                                                         .heads = s[0]});
    ops::attention_mix(ctx, ops::AttentionMix<T>{.z = b["mixed"],
                                                 .pattern = b.ptr("pattern"),
                                                 .v = b["v"],
                                                 .segments = layout.segments.data(),
                                                 .pattern_offsets = layout.offsets.data(),
                                                 .segment_count = layout.count(),
                                                 .heads = s[0],
                                                 .groups = s[1],
                                                 .width = s[2]});
    for (int64_t m = 0; m < rows_of(s); ++m) {
      if (std::memcmp(b["z"].row(m), b["mixed"].row(m),
                      static_cast<size_t>(s[0] * s[2]) * sizeof(T)) != 0) {
        return report.fail(where(isa, s) + ": the three steps give other bits");
      }
    }
  }

  // Continuing a sequence after `past` cached keys gives the bits of the whole sequence.
  template <class T>
  void check_past(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> b;
    declare(s, b);
    forward(ctx, s, b);
    for (size_t i = 3, row = 0; i < s.size(); row += static_cast<size_t>(s[i++])) {
      for (const int64_t past : {int64_t{1}, s[i] / 2, s[i] - 1}) {
        if (past <= 0 || past >= s[i]) continue;
        const int64_t columns = s[1] * s[2], rest = s[i] - past;
        const auto first = static_cast<int64_t>(row);
        std::vector<T> keys, values;
        for (int64_t j = 0; j < past; ++j) {
          keys.insert(keys.end(), b["k"].row(first + j), b["k"].row(first + j) + columns);
          values.insert(values.end(), b["v"].row(first + j), b["v"].row(first + j) + columns);
        }
        const ops::Segment<T> segment{first + past, rest, keys.data(), values.data(), past};
        Buffers<T> part;
        declare(s, part);
        ops::Attention<T> call = args(s, part, Layout<T>(s));
        call.segments = &segment;
        call.segment_count = 1;
        ops::attention(ctx, call);
        for (int64_t m = first + past; m < first + s[i]; ++m) {
          if (std::memcmp(b["z"].row(m), part["z"].row(m),
                          static_cast<size_t>(s[0] * s[2]) * sizeof(T)) != 0) {
            return report.fail(where(isa, s) + ": after " + std::to_string(past) +
                               " cached keys, other bits");
          }
        }
      }
    }
  }

  // A sequence has the same outputs and gradients alone and in a batch.
  template <class T>
  void check_alone(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> b, alone;
    for (Buffers<T>* each : {&b, &alone}) declare(s, *each);
    forward(ctx, s, b);
    backward(ctx, s, b);
    const Layout<T> layout(s);
    for (const ops::Segment<T>& segment : layout.segments) {
      ops::Attention<T> call = args(s, alone, layout);
      call.segments = &segment;
      call.segment_count = 1;
      ops::attention(ctx, call);
      ops::attention_backward(ctx, ops::AttentionBackward<T>{.dq = alone["dq"],
                                                             .dk = alone["dk"],
                                                             .dv = alone["dv"],
                                                             .dz = alone["dz"],
                                                             .q = alone["q"],
                                                             .k = alone["k"],
                                                             .v = alone["v"],
                                                             .segments = &segment,
                                                             .segment_count = 1,
                                                             .heads = s[0],
                                                             .groups = s[1],
                                                             .width = s[2],
                                                             .scale = call.scale});
    }
    for (const char* name : {"z", "dq", "dk", "dv"}) {
      const auto& one = b.field(name).memory;
      if (std::memcmp(one.data(), alone.field(name).memory.data(), one.size() * sizeof(T)) != 0) {
        report.fail(where(isa, s) + ": " + name + " of a sequence alone has other bits");
      }
    }
  }

  static std::string where(Isa isa, const Shape& s) {
    std::string text = isa_name(isa);
    for (const int64_t n : s) text += " " + std::to_string(n);
    return text;
  }

  void perf(const Perf& p) const {
    Shape many = {8, 8, 64};
    for (int i = 0; i < 180; ++i) many.push_back(12 + i % 17);
    Shape small = {4, 4, 32};
    for (int i = 0; i < 300; ++i) small.push_back(8 + i % 9);
    const std::pair<const char*, Shape> cases[] = {
        {"180 sequences of 12..28, 8 x 64", many},
        {"300 sequences of 8..16, 4 x 32", small},
        {"1 sequence of 256, 8 x 64", {8, 8, 64, 256}},
        {"1 sequence of 1024, 8 x 64", {8, 8, 64, 1024}}};
    for (const auto& [label, s] : cases) {
      Buffers<float> b;
      declare(s, b);
      double flops = 0;
      for (size_t i = 3; i < s.size(); ++i) {
        const double n = static_cast<double>(s[i]);
        flops += 2 * n * (n + 1) * static_cast<double>(s[0] * s[2]);
      }
      p.measure(label, flops, 0, [&] { forward(p.ctx, s, b); });
      p.measure("backward", 2.5 * flops, 0, [&] { backward(p.ctx, s, b); });
    }
  }
};

struct ScoresCase {
  const char* name = "attention_scores";
  double tolerance = 3e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.in("q", rows_of(s), s[0] * s[2]);
    b.in("k", rows_of(s), s[1] * s[2]);
    b.out("scores", 1, pattern_size(s));
    for (const char* name : {"q", "k"}) b.gradient(Role::sets, name);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention_scores(ctx, ops::AttentionScores<T>{.scores = b.ptr("scores"),
                                                       .q = b["q"],
                                                       .k = b["k"],
                                                       .segments = layout.segments.data(),
                                                       .pattern_offsets = layout.offsets.data(),
                                                       .segment_count = layout.count(),
                                                       .heads = s[0],
                                                       .groups = s[1],
                                                       .width = s[2],
                                                       .scale = static_cast<T>(scale_of(s))});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention_scores_backward(
        ctx, ops::AttentionScoresBackward<T>{.dq = b["dq"],
                                             .dk = b["dk"],
                                             .dscores = b.ptr("dscores"),
                                             .q = b["q"],
                                             .k = b["k"],
                                             .segments = layout.segments.data(),
                                             .pattern_offsets = layout.offsets.data(),
                                             .segment_count = layout.count(),
                                             .heads = s[0],
                                             .groups = s[1],
                                             .width = s[2],
                                             .scale = static_cast<T>(scale_of(s))});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for_queries(s, [&](int64_t row, int64_t n, int64_t h, int64_t q, int64_t offset) {
      for (int64_t k = 0; k < n; ++k) {
        b.ptr("scores")[offset + k] =
            k <= q ? score(s, b, row, h, q, k) : -std::numeric_limits<double>::infinity();
      }
    });
  }
};

struct SoftmaxCase {
  const char* name = "attention_softmax";
  double tolerance = 6e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("scores");
    b.in("scores", 1, pattern_size(s), [&](int64_t, int64_t c) {
      return masked(s, c) ? -std::numeric_limits<double>::infinity() : 2 * random.normal();
    });
    b.out("pattern", 1, pattern_size(s));
    b.gradient(Role::sets, "scores");
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention_softmax(ctx, ops::AttentionSoftmax<T>{.pattern = b.ptr("pattern"),
                                                         .scores = b.ptr("scores"),
                                                         .segments = layout.segments.data(),
                                                         .pattern_offsets = layout.offsets.data(),
                                                         .segment_count = layout.count(),
                                                         .heads = s[0]});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
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
    for_queries(s, [&](int64_t, int64_t n, int64_t, int64_t, int64_t offset) {
      const double* scores = b.ptr("scores") + offset;
      const std::vector<double> p = softmax(std::vector<double>(scores, scores + n));
      std::copy(p.begin(), p.end(), b.ptr("pattern") + offset);
    });
  }
};

struct MixCase {
  const char* name = "attention_mix";
  double tolerance = 3e-6;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return some_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    Random random("pattern");
    b.in("pattern", 1, pattern_size(s),
         [&](int64_t, int64_t c) { return masked(s, c) ? 0.0 : random.uniform(); });
    b.in("v", rows_of(s), s[1] * s[2]);
    b.out("z", rows_of(s), s[0] * s[2]);
    for (const char* name : {"pattern", "v"}) b.gradient(Role::sets, name);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
    ops::attention_mix(ctx, ops::AttentionMix<T>{.z = b["z"],
                                                 .pattern = b.ptr("pattern"),
                                                 .v = b["v"],
                                                 .segments = layout.segments.data(),
                                                 .pattern_offsets = layout.offsets.data(),
                                                 .segment_count = layout.count(),
                                                 .heads = s[0],
                                                 .groups = s[1],
                                                 .width = s[2]});
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s);
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
                                          .width = s[2]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for_queries(s, [&](int64_t row, int64_t, int64_t h, int64_t q, int64_t offset) {
      for (int64_t e = 0; e < s[2]; ++e) {
        double sum = 0;
        for (int64_t k = 0; k <= q; ++k) {
          sum += b.ptr("pattern")[offset + k] * b["v"].row(row + k)[h / (s[0] / s[1]) * s[2] + e];
        }
        b["z"].row(row + q)[h * s[2] + e] = sum;
      }
    });
  }
};

REGISTER_OP(AttentionCase)
REGISTER_OP(ScoresCase)
REGISTER_OP(SoftmaxCase)
REGISTER_OP(MixCase)

}  // namespace
}  // namespace keyheads::test
