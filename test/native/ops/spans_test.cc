#include "ops/spans.h"

#include "op_case.h"

namespace keyheads::test {
namespace {

// Spans of a value of `size` numbers that follow each other with gaps, in `rows` rows of `row`
// numbers in all: each row is cut into two, as heads or columns cut it. Some rows are one span with
// the next.
std::vector<ops::Span> some_spans(int64_t rows, int64_t row) {
  Random random("spans");
  std::vector<ops::Span> spans;
  int64_t offset = 0, at = 0;
  const auto add = [&](int64_t length) {
    if (length == 0) return;
    offset += random.below(4);
    spans.push_back({offset, length, at});
    offset += length;
    at += length;
  };
  for (int64_t r = 0; r < rows; ++r) {
    if (r % 3 == 2 && !spans.empty()) {
      spans.back().length += row;
      offset += row;
      at += row;
      continue;
    }
    add(row / 3);
    add(row - row / 3);
  }
  return spans;
}
int64_t end_of(const std::vector<ops::Span>& spans) {
  return spans.empty() ? 1 : spans.back().offset + spans.back().length + 2;
}

// shape: rows, numbers of a row
const std::vector<Shape> kShapes = {{0, 8},  {1, 1},  {2, 15},  {3, 16},   {4, 17},
                                    {7, 31}, {9, 64}, {40, 33}, {300, 65}, {64, 1024}};
Shape any_shape(Random& random) { return {random.size(200), random.size(200)}; }

// The numbers of x in the spans, and where the spans are in a matrix of one row.
template <class T, class F>
void each_number(const Shape& s, const F& f) {
  for (const ops::Span& span : some_spans(s[0], s[1])) {
    for (int64_t i = 0; i < span.length; ++i) f(span.offset + i, span.at + i);
  }
}

template <bool scatters>
struct MoveSpansCase {
  const char* name = scatters ? "scatter_spans" : "gather_spans";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const int64_t whole = end_of(some_spans(s[0], s[1])), size = s[0] * s[1];
    b.fixed("x", 1, scatters ? size : whole);
    b.inout("y", 1, scatters ? whole : size);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const std::vector<ops::Span> spans = some_spans(s[0], s[1]);
    if constexpr (scatters) {
      ops::scatter_spans(
          ctx,
          ops::ScatterSpans<T>{
              .y = b.ptr("y"), .x = b.ptr("x"), .spans = spans.data(), .count = std::ssize(spans)});
    } else {
      ops::gather_spans(
          ctx,
          ops::GatherSpans<T>{
              .y = b.ptr("y"), .x = b.ptr("x"), .spans = spans.data(), .count = std::ssize(spans)});
    }
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    each_number<double>(s, [&](int64_t offset, int64_t at) {
      b.ptr("y")[scatters ? offset : at] = b.ptr("x")[scatters ? at : offset];
    });
  }
  void perf(const Perf& p) const {
    const Shape s = {1024, 4096};
    Buffers<float> b;
    declare(s, b);
    const std::vector<ops::Span> spans = some_spans(s[0], s[1]);
    p.measure("1024 x 4096", 0, 1024.0 * 4096 * 8, [&] { forward(p.ctx, s, b); });
  }
};

struct CopyPiecesCase {
  const char* name = "copy_pieces";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", 1, end_of(some_spans(s[0], s[1])));
    b.inout("y", 1, s[0] * s[1] + 1);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    std::vector<ops::CopyPiece<T>> pieces;
    for (const ops::Span& span : some_spans(s[0], s[1])) {
      pieces.push_back({b.ptr("y") + span.at, b.ptr("x") + span.offset, span.length});
    }
    ops::copy_pieces(ctx, ops::CopyPieces<T>{.pieces = pieces.data(), .count = std::ssize(pieces)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    each_number<double>(s,
                        [&](int64_t offset, int64_t at) { b.ptr("y")[at] = b.ptr("x")[offset]; });
  }
};

// Every operation, with a value for each number, for each of a row, and for all.
struct EditSpansCase {
  const char* name = "edit_spans";
  double tolerance = 2e-7;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  struct Variant {
    const char* name;
    ops::SpanEdit edit;
    int given;  // 0: none, 1: one, 2: a row, 3: all
  };
  static constexpr Variant kVariants[] = {{"zero", ops::SpanEdit::zero, 0},
                                          {"set all", ops::SpanEdit::set, 3},
                                          {"set row", ops::SpanEdit::set, 2},
                                          {"set one", ops::SpanEdit::set, 1},
                                          {"add all", ops::SpanEdit::add, 3},
                                          {"add row", ops::SpanEdit::add, 2},
                                          {"scale", ops::SpanEdit::scale, 0},
                                          {"interpolate all", ops::SpanEdit::interpolate, 3},
                                          {"interpolate one", ops::SpanEdit::interpolate, 1}};
  static constexpr double kFactor = 0.25;
  static int64_t given(const Shape& s, const Variant& v) {
    return v.given == 0 ? 0 : v.given == 1 ? 1 : v.given == 2 ? s[1] : s[0] * s[1];
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const int64_t whole = end_of(some_spans(s[0], s[1]));
    b.fixed("values", 1, std::max<int64_t>(1, s[0] * s[1]));
    for (const Variant& v : kVariants) b.inout(v.name, 1, whole);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const std::vector<ops::Span> spans = some_spans(s[0], s[1]);
    for (const Variant& v : kVariants) {
      ops::edit_spans(ctx, ops::EditSpans<T>{.y = b.ptr(v.name),
                                             .spans = spans.data(),
                                             .count = std::ssize(spans),
                                             .edit = v.edit,
                                             .values = v.given ? b.ptr("values") : nullptr,
                                             .given = given(s, v),
                                             .factor = T(kFactor)});
    }
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    for (const Variant& v : kVariants) {
      each_number<double>(s, [&](int64_t offset, int64_t at) {
        double& y = b.ptr(v.name)[offset];
        const double value = v.given ? b.ptr("values")[at % given(s, v)] : 0;
        switch (v.edit) {
          case ops::SpanEdit::zero:
            y = 0;
            break;
          case ops::SpanEdit::set:
            y = value;
            break;
          case ops::SpanEdit::add:
            y += value;
            break;
          case ops::SpanEdit::scale:
            y *= kFactor;
            break;
          case ops::SpanEdit::interpolate:
            y = (1 - kFactor) * y + kFactor * value;
            break;
        }
      });
    }
  }
};

struct MeanSpansCase {
  const char* name = "mean_spans";
  double tolerance = 2e-7;
  std::vector<Shape> shapes() const { return {kShapes.begin() + 1, kShapes.end()}; }
  Shape random_shape(Random& random) const {
    return {random.between(1, 200), random.between(1, 200)};
  }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    b.fixed("x", 1, end_of(some_spans(s[0], s[1])));
    b.saved("mean", 1, s[1]);
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const std::vector<ops::Span> spans = some_spans(s[0], s[1]);
    ops::mean_spans(ctx, ops::MeanSpans<T>{.mean = b.ptr("mean"),
                                           .x = b.ptr("x"),
                                           .spans = spans.data(),
                                           .count = std::ssize(spans),
                                           .row = s[1]});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    std::vector<double> sum(static_cast<size_t>(s[1]), 0.0);
    each_number<double>(s, [&](int64_t offset, int64_t at) {
      sum[static_cast<size_t>(at % s[1])] += b.ptr("x")[offset];
    });
    for (int64_t c = 0; c < s[1]; ++c) b.ptr("mean")[c] = sum[c] / static_cast<double>(s[0]);
  }
};

struct ClearChangedCase {
  const char* name = "clear_changed";
  double tolerance = 1e-15;
  std::vector<Shape> shapes() const { return kShapes; }
  Shape random_shape(Random& random) const { return any_shape(random); }
  template <class T>
  void declare(const Shape& s, Buffers<T>& b) const {
    const int64_t whole = end_of(some_spans(s[0], s[1]));
    b.inout("d", 1, whole);
    b.fixed("before", 1, whole, [](int64_t, int64_t c) { return c % 7 == 0 ? 0.0 : c % 5; });
    // some the same, some others; a negative zero is another number, a NaN is the same
    b.fixed("after", 1, whole, [](int64_t, int64_t c) {
      return c % 7 == 0 ? -0.0 : c % 3 == 0 ? 17.0 : c % 5;
    });
  }
  template <class T>
  void forward(Context& ctx, const Shape& s, Buffers<T>& b) const {
    const std::vector<ops::Span> spans = some_spans(s[0], s[1]);
    ops::clear_changed(ctx, ops::ClearChanged<T>{.d = b.ptr("d"),
                                                 .before = b.ptr("before"),
                                                 .after = b.ptr("after"),
                                                 .spans = spans.data(),
                                                 .count = std::ssize(spans)});
  }
  void reference(const Shape& s, Buffers<double>& b) const {
    each_number<double>(s, [&](int64_t offset, int64_t) {
      if (offset % 7 == 0 || offset % 3 == 0) b.ptr("d")[offset] = 0;
    });
  }
  void extra_on(Report& report, Context& ctx) const {
    Memory<float> d{3, 4};
    const Memory<float> before{NAN, 1}, after{NAN, NAN};
    const ops::Span span{0, 2, 0};
    ops::clear_changed(ctx, ops::ClearChanged<float>{.d = d.data(),
                                                     .before = before.data(),
                                                     .after = after.data(),
                                                     .spans = &span,
                                                     .count = 1});
    if (ctx.device) ctx.device->synchronize();
    if (d[0] != 3 || d[1] != 0) report.fail("NaN that stayed, or that came");
  }
};

REGISTER_OP(MoveSpansCase<false>)
REGISTER_OP(MoveSpansCase<true>)
REGISTER_OP(CopyPiecesCase)
REGISTER_OP(EditSpansCase)
REGISTER_OP(MeanSpansCase)
REGISTER_OP(ClearChangedCase)

}  // namespace
}  // namespace keyheads::test
