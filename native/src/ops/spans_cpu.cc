#include "ops/rows.h"
#include "ops/spans.h"

namespace keyheads::ops {
namespace {

// f(span) of each, several together where they are short.
template <class F>
KEYHEADS_INLINE void for_spans(Context& ctx, const Span* spans, int64_t count, const F& f) {
  const int64_t cost = count == 0 ? 1 : spans[0].length + 4;
  for_rows(ctx, count, cost, [&](int64_t s) { f(spans[s]); });
}

template <class T>
void gather_spans_impl(Context& ctx, const GatherSpans<T>& a) {
  for_spans(ctx, a.spans, a.count, [&](const Span& s) {
    __builtin_memcpy(a.y + s.at, a.x + s.offset, static_cast<size_t>(s.length) * sizeof(T));
  });
}

template <class T>
void scatter_spans_impl(Context& ctx, const ScatterSpans<T>& a) {
  for_spans(ctx, a.spans, a.count, [&](const Span& s) {
    __builtin_memcpy(a.y + s.offset, a.x + s.at, static_cast<size_t>(s.length) * sizeof(T));
  });
}

// y = f(y, v) for all numbers of a span, in pieces that lie in one run of the values.
template <class T, class F>
KEYHEADS_INLINE void with_values(const EditSpans<T>& a, const Span& s, const F& f) {
  T* y = a.y + s.offset;
  if (a.given == 1) {
    for (int64_t i = 0; i < s.length; ++i) y[i] = f(y[i], a.values[0]);
    return;
  }
  for (int64_t i = 0, place = s.at % a.given; i < s.length; place = 0) {
    const int64_t n = smaller(s.length - i, a.given - place);
    const T* v = a.values + place;
    for (int64_t j = 0; j < n; ++j) y[i + j] = f(y[i + j], v[j]);
    i += n;
  }
}

template <class T>
void edit_spans_impl(Context& ctx, const EditSpans<T>& a) {
  for_spans(ctx, a.spans, a.count, [&](const Span& s) {
    T* y = a.y + s.offset;
    switch (a.edit) {
      case SpanEdit::zero:
        for (int64_t i = 0; i < s.length; ++i) y[i] = 0;
        break;
      case SpanEdit::scale:
        for (int64_t i = 0; i < s.length; ++i) y[i] *= a.factor;
        break;
      case SpanEdit::set:
        with_values(a, s, [](T, T v) { return v; });
        break;
      case SpanEdit::add:
        with_values(a, s, [](T old, T v) { return old + v; });
        break;
      case SpanEdit::interpolate:
        with_values(a, s, [&](T old, T v) { return (1 - a.factor) * old + a.factor * v; });
        break;
    }
  });
}

template <class T>
void mean_spans_impl(Context&, const MeanSpans<T>& a) {
  const auto row = static_cast<size_t>(a.row);
  auto* sum = static_cast<double*>(op_scratch(row * sizeof(double)));
  for (size_t c = 0; c < row; ++c) sum[c] = 0;
  int64_t numbers = 0;
  for (int64_t s = 0; s < a.count; ++s) {
    const Span& span = a.spans[s];
    for (int64_t i = 0; i < span.length; ++i) {
      sum[(span.at + i) % a.row] += static_cast<double>(a.x[span.offset + i]);
    }
    numbers += span.length;
  }
  const auto rows = static_cast<double>(numbers / a.row);
  for (size_t c = 0; c < row; ++c) a.mean[c] = static_cast<T>(sum[c] / rows);
}

template <class T>
void clear_changed_impl(Context& ctx, const ClearChanged<T>& a) {
  for_spans(ctx, a.spans, a.count, [&](const Span& s) {
    for (int64_t i = s.offset; i < s.offset + s.length; ++i) {
      if (__builtin_memcmp(a.before + i, a.after + i, sizeof(T)) != 0) a.d[i] = 0;
    }
  });
}

template <class T>
void copy_pieces_impl(Context& ctx, const CopyPieces<T>& a) {
  const int64_t cost = a.count == 0 ? 1 : a.pieces[0].length + 4;
  for_rows(ctx, a.count, cost, [&](int64_t i) {
    const CopyPiece<T>& piece = a.pieces[i];
    __builtin_memcpy(piece.to, piece.from, static_cast<size_t>(piece.length) * sizeof(T));
  });
}

}  // namespace

DEFINE_OP(gather_spans, GatherSpans)
DEFINE_OP(scatter_spans, ScatterSpans)
DEFINE_OP(edit_spans, EditSpans)
DEFINE_OP(mean_spans, MeanSpans)
DEFINE_OP(clear_changed, ClearChanged)
DEFINE_OP(copy_pieces, CopyPieces)

}  // namespace keyheads::ops
