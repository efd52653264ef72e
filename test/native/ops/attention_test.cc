#include "ops/attention.h"

#include "attention_cases.h"
#include "base/memory.h"

namespace keyheads::test {
namespace {

// With bf16 = true, what a device rounds to bfloat16 has values that need none, so that all the
// rest must be as exact as in float. The CPU, which does not round, gets a few of the shapes.
template <bool bf16>
struct AttentionOf {
  const char* name = bf16 ? "attention_bf16" : "attention";
  double tolerance = 6e-6;
  double tolerance_on_device() const { return bf16 ? 5e-5 : tolerance; }  // weights have 16 bits
  std::vector<Shape> shapes() const { return attention_shapes(bf16); }
  std::vector<Shape> device_shapes() const { return attention_device_shapes(bf16); }
  Shape random_shape(Random& random) const { return attention_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.bf16 = bf16;
    b.in("q", rows_of(s), s[0] * s[2]);
    b.in("k", rows_of(s), s[1] * s[2]);
    b.in("v", rows_of(s), s[1] * s[2]);
    declare_past(s, b);
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
            .scale = static_cast<T>(scale_of(s)),
            .cap = static_cast<T>(cap_of(s)),
            .window = s[3],
            .bf16 = bf16};
  }
  template <class T>
  static ops::AttentionBackward<T> backward_args(const Shape& s, Buffers<T>& b,
                                                 const Layout<T>& layout) {
    return {.dq = b["dq"],
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
            .scale = static_cast<T>(scale_of(s)),
            .cap = static_cast<T>(cap_of(s)),
            .window = s[3],
            .bf16 = bf16};
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention(ctx, args(s, b, layout));
  }
  template <class T>
  void backward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const Layout<T> layout(s, b);
    ops::attention_backward(ctx, backward_args(s, b, layout));
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    const Mat<double> q = b["q"], z = b["z"];
    const Keys all_keys(b, "k"), values(b, "v");
    for_queries(s, [&](const Query& x) {
      std::vector<double> scores;
      std::vector<int64_t> keys;
      for (int64_t j = 0; j < x.keys(); ++j) {
        if (!sees(s, x.past + x.query, j)) continue;
        keys.push_back(j);
        scores.push_back(plain_score(s, q, all_keys, x, j));
      }
      const std::vector<double> p =
          plain_softmax(scores.data(), static_cast<int64_t>(scores.size()));
      double* row = z.row(x.row + x.query) + x.head * s[2];
      for (int64_t e = 0; e < s[2]; ++e) {
        double sum = 0;
        for (size_t i = 0; i < keys.size(); ++i) sum += p[i] * values.row(s, x, keys[i])[e];
        row[e] = sum;
      }
    });
  }

  void each(Report& report, Isa isa, const Shape& s) const {
    check_steps<float>(report, isa, s);
    check_steps<double>(report, isa, s);
    check_past<float>(report, isa, s);
  }
  void each_on(Report& report, Context& ctx, const Shape& s) const { check_alone(report, ctx, s); }

  void extra_on(Report& report, Context& ctx) const {
    if (bf16 && ctx.device) check_rounding(report, ctx);
  }
  // A device makes of values what it makes of the same rounded to bfloat16.
  void check_rounding(Report& report, Context& ctx) const {
    const Shape s = {4, 2, 40, 0, 0, 3, 70, 5};
    Buffers<float> whole, rounded;
    AttentionOf<false>().declare(s, whole);
    declare(s, rounded);
    for (Buffers<float>* b : {&whole, &rounded}) {
      forward(ctx, s, *b);
      backward(ctx, s, *b);
    }
    ctx.device->synchronize();
    for (const char* name : {"z", "dq", "dk", "dv"}) {
      if (!same(whole, rounded, name, 0, rows_of(s))) {
        report.fail(std::string(name) + " of values has other bits than of the rounded ones");
      }
    }
  }

  void extra(Report& report) const {
    if (bf16) return;
    for (const int64_t window : {0, 1000}) check_long(report, {2, 1, 8, window, 0, 0, 5000});
  }

  // A long sequence needs memory in proportion to its length, and gives the same bits whether one
  // thread computes it or several share it.
  void check_long(Report& report, const Shape& s) const {
    Buffers<float> one, many;
    for (Buffers<float>* b : {&one, &many}) declare(s, *b);
    { const ScratchUse of_tests_before; }
    const int64_t before = memory_info().scratch_bytes;
    for (Buffers<float>* b : {&one, &many}) {
      const ScratchUse scratch;
      Context ctx = context(detect_isa(), b == &one ? 1 : 3);
      forward(ctx, s, *b);
      backward(ctx, s, *b);
      const int64_t used = memory_info().scratch_bytes - before;
      if (used <= 0 || used > s[kLengths] * s[kLengths]) {
        report.fail(describe(detect_isa(), s) + ": " + std::to_string(used) + " bytes of scratch");
      }
    }
    if (memory_info().scratch_bytes != before) report.fail("scratch memory was not given back");
    for (const char* name : {"z", "dq", "dk", "dv"}) {
      if (!same(one, many, name, 0, rows_of(s))) {
        report.fail(describe(detect_isa(), s) + ": " + name + " has other bits with 3 threads");
      }
    }
  }

  // The three steps give the bits of the fused op, forward and backward.
  template <class T>
  void check_steps(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> fused, steps;
    for (Buffers<T>* b : {&fused, &steps}) declare(s, *b);
    forward(ctx, s, fused);
    backward(ctx, s, fused);
    for (const char* name : {"scores", "pattern", "d"}) steps.out(name, 1, pattern_size(s));
    run_steps(ctx, s, steps);
    for (const char* name : {"z", "dq", "dk", "dv"}) {
      if (!same(fused, steps, name, 0, rows_of(s))) {
        report.fail(describe(isa, s) + ": " + name + " has other bits in three steps");
      }
    }
  }
  template <class T>
  static void run_steps(Context& ctx, const Shape& s, Buffers<T>& b) {
    const Layout<T> layout(s, b);
    const ops::Segment<T>* segments = layout.segments.data();
    const int64_t* offsets = layout.offsets.data();
    const int64_t count = layout.count();
    const auto scale = static_cast<T>(scale_of(s)), cap = static_cast<T>(cap_of(s));
    T *scores = b.ptr("scores"), *pattern = b.ptr("pattern"), *d = b.ptr("d");
    ops::attention_scores(ctx, ops::AttentionScores<T>{scores, b["q"], b["k"], segments, offsets,
                                                       count, s[0], s[1], s[2], scale, cap, s[3]});
    ops::attention_softmax(
        ctx, ops::AttentionSoftmax<T>{pattern, scores, segments, offsets, count, s[0]});
    ops::attention_mix(ctx, ops::AttentionMix<T>{b["z"], pattern, b["v"], segments, offsets, count,
                                                 s[0], s[1], s[2]});
    ops::attention_mix_backward(
        ctx, ops::AttentionMixBackward<T>{d, b["dv"], b["dz"], b["v"], pattern, segments, offsets,
                                          count, s[0], s[1], s[2]});
    ops::attention_softmax_backward(
        ctx, ops::AttentionSoftmaxBackward<T>{d, d, pattern, segments, offsets, count, s[0]});
    ops::attention_scores_backward(
        ctx, ops::AttentionScoresBackward<T>{b["dq"], b["dk"], d, scores, b["q"], b["k"], segments,
                                             offsets, count, s[0], s[1], s[2], scale, cap, s[3]});
  }

  // Continuing a sequence after some of its keys are cached gives the bits of the whole sequence.
  template <class T>
  void check_past(Report& report, Isa isa, const Shape& s) const {
    Context ctx = context(isa, 2);
    Buffers<T> b;
    declare(s, b);
    forward(ctx, s, b);
    const Layout<T> layout(s, b);
    for (const ops::Segment<T>& whole : layout.segments) {
      for (const int64_t cached : {int64_t{1}, whole.rows / 2, whole.rows - 1}) {
        if (cached <= 0 || cached >= whole.rows) continue;
        const int64_t columns = s[1] * s[2], past = whole.past_rows * columns;
        std::vector<T> keys(whole.past_k, whole.past_k + past);
        std::vector<T> values(whole.past_v, whole.past_v + past);
        for (int64_t j = whole.row; j < whole.row + cached; ++j) {
          keys.insert(keys.end(), b["k"].row(j), b["k"].row(j) + columns);
          values.insert(values.end(), b["v"].row(j), b["v"].row(j) + columns);
        }
        const ops::Segment<T> rest{whole.row + cached, whole.rows - cached, keys.data(),
                                   values.data(), whole.past_rows + cached};
        Buffers<T> part;
        declare(s, part);
        ops::Attention<T> call = args(s, part, layout);
        call.segments = &rest;
        call.segment_count = 1;
        ops::attention(ctx, call);
        if (!same(b, part, "z", rest.row, rest.rows)) {
          return report.fail(describe(isa, s) + ": after " + std::to_string(cached) +
                             " cached keys, other bits");
        }
      }
    }
  }

  // A sequence has the same outputs and gradients alone and in a batch.
  void check_alone(Report& report, Context& ctx, const Shape& s) const {
    Buffers<float> b, alone;
    for (Buffers<float>* each : {&b, &alone}) declare(s, *each);
    forward(ctx, s, b);
    backward(ctx, s, b);
    const Layout<float> layout(s, b);
    for (const ops::Segment<float>& segment : layout.segments) {
      ops::Attention<float> call = args(s, alone, layout);
      ops::AttentionBackward<float> back = backward_args(s, alone, layout);
      call.segments = back.segments = &segment;
      call.segment_count = back.segment_count = 1;
      ops::attention(ctx, call);
      ops::attention_backward(ctx, back);
    }
    if (ctx.device) ctx.device->synchronize();
    for (const char* name : {"z", "dq", "dk", "dv"}) {
      if (!same(b, alone, name, 0, rows_of(s))) {
        report.fail(describe(ctx.isa, s) + ": " + name + " of a sequence alone has other bits");
      }
    }
  }

  template <class T>
  static bool same(Buffers<T>& a, Buffers<T>& b, const char* name, int64_t row, int64_t rows) {
    for (int64_t m = row; m < row + rows; ++m) {
      const auto bytes = static_cast<size_t>(a[name].cols) * sizeof(T);
      if (std::memcmp(a[name].row(m), b[name].row(m), bytes) != 0) return false;
    }
    return true;
  }

  void perf(const Perf& p) const {
    if (bf16) return;
    Shape many = {8, 8, 64, 0, 0, 0}, small = {4, 4, 32, 0, 0, 0}, prompts = {12, 12, 64, 0, 0, 0};
    for (int i = 0; i < 180; ++i) many.push_back(12 + i % 17);
    for (int i = 0; i < 300; ++i) small.push_back(8 + i % 9);
    for (int i = 0; i < 16; ++i) prompts.push_back(8 + i * 24 / 15);
    const std::pair<const char*, Shape> cases[] = {
        {"180 sequences of 12..28, 8 x 64", many},
        {"300 sequences of 8..16, 4 x 32", small},
        {"16 sequences of 8..32, 12 x 64", prompts},
        {"1 sequence of 256, 8 x 64", {8, 8, 64, 0, 0, 0, 256}},
        {"1 sequence of 1024, 12 x 64", {12, 12, 64, 0, 0, 0, 1024}},
        {"the same with a cap", {12, 12, 64, 0, 100, 0, 1024}},
        {"the same with a window of 128", {12, 12, 64, 128, 0, 0, 1024}},
        {"1 sequence of 4096, 1 x 64", {1, 1, 64, 0, 0, 0, 4096}},
        {"1 token after 1024, 12 x 64", {12, 12, 64, 0, 0, 1024, 1}},
        {"1 token after 1024, 32 x 128 in 8 groups", {32, 8, 128, 0, 0, 1024, 1}}};
    for (const auto& [label, s] : cases) {
      Buffers<float> b;
      declare(s, b);
      double entries = 0;
      for_queries(s, [&, &s = s](const Query& x) {
        const int64_t seen = x.past + x.query + 1;
        entries += static_cast<double>(s[3] ? std::min(s[3], seen) : seen);
      });
      const double flops = 4 * entries * static_cast<double>(s[2]);
      p.measure(label, flops, 0, [&, &s = s] { forward(p.ctx, s, b); });
      if (s[5] == 0) {
        p.measure("backward", 2.5 * flops, 0, [&, &s = s] { backward(p.ctx, s, b); });
      }
    }
  }
};

REGISTER_OP(AttentionOf<false>)
REGISTER_OP(AttentionOf<true>)

}  // namespace
}  // namespace keyheads::test
