#pragma once
#include "ops/op.h"

namespace keyheads::ops {

// `length` numbers of a value, from `offset` on; they are those from `at` on of a dense array.
// Spans of one call do not overlap each other.
struct Span {
  int64_t offset, length, at;
};
// No span should be longer: work is shared by spans.
inline constexpr int64_t kLongestSpan = 32768;

// y[at + i] = x[offset + i] of every span
template <class T>
struct GatherSpans {
  T* y;  // =
  const T* x;
  const Span* spans;  // host
  int64_t count;
};
// y[offset + i] = x[at + i] of every span
template <class T>
struct ScatterSpans {
  T* y;  // =, in the spans
  const T* x;
  const Span* spans;  // host
  int64_t count;
};

// zero: 0.  set: v.  add: y + v.  scale: factor y.  interpolate: (1 - factor) y + factor v.
// v = values[(at + i) % given]: one for every number, one row for all, or one.
enum class SpanEdit : uint8_t { zero, set, add, scale, interpolate };
template <class T>
struct EditSpans {
  T* y;               // =, in the spans
  const Span* spans;  // host
  int64_t count;
  SpanEdit edit;
  const T* values;  // host, (given); null with zero and scale
  int64_t given;
  T factor;
};
// mean[c] = mean of the numbers of x whose place (at + i) % row is c, summed in double, ascending
template <class T>
struct MeanSpans {
  T* mean;  // host, (row)  =
  const T* x;
  const Span* spans;  // host; whole rows, ascending `at` from 0
  int64_t count;
  int64_t row;
};
// d[offset + i] = 0 where before and after, both at offset + i, differ in a bit
template <class T>
struct ClearChanged {
  T* d;  // =, in the spans
  const T *before, *after;
  const Span* spans;  // host
  int64_t count;
};

// to[i] = from[i] of every piece; none overlaps another
template <class T>
struct CopyPiece {
  T* to;
  const T* from;
  int64_t length;
};
template <class T>
struct CopyPieces {
  const CopyPiece<T>* pieces;  // host
  int64_t count;
};

DECLARE_OP(gather_spans, GatherSpans)
DECLARE_OP(scatter_spans, ScatterSpans)
DECLARE_OP(edit_spans, EditSpans)
DECLARE_OP(mean_spans, MeanSpans)
DECLARE_OP(clear_changed, ClearChanged)
DECLARE_OP(copy_pieces, CopyPieces)

}  // namespace keyheads::ops
