#include <algorithm>
#include <vector>

#include "cuda/rows.h"
#include "cuda/vectors.h"
#include "ops/spans.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

// Calls f(span, i) for all numbers of all spans: a warp or a block a span.
template <class F>
struct EachNumber {
  const Span* spans;
  F f;
  template <class Threads>
  __device__ void operator()(int64_t s, const Threads& threads) const {
    const Span span = spans[s];
    for (int64_t i = threads.first; i < span.length; i += threads.step) f(span, i);
  }
};
template <class F>
void for_numbers(Queue& queue, const Span* spans, int64_t count, const F& f, const char* op) {
  int64_t longest = 0;
  for (int64_t s = 0; s < count; ++s) longest = std::max(longest, spans[s].length);
  cuda::for_rows(queue, count, longest, EachNumber<F>{queue.upload(spans, count), f}, op);
}

struct GatherNumber {
  float* y;
  const float* x;
  __device__ void operator()(const Span& s, int64_t i) const { y[s.at + i] = x[s.offset + i]; }
};
void gather_spans_impl(Queue& queue, const GatherSpans<float>& a) {
  for_numbers(queue, a.spans, a.count, GatherNumber{a.y, a.x}, "gather_spans");
}

struct ScatterNumber {
  float* y;
  const float* x;
  __device__ void operator()(const Span& s, int64_t i) const { y[s.offset + i] = x[s.at + i]; }
};
void scatter_spans_impl(Queue& queue, const ScatterSpans<float>& a) {
  for_numbers(queue, a.spans, a.count, ScatterNumber{a.y, a.x}, "scatter_spans");
}

struct EditNumber {
  float* y;
  SpanEdit edit;
  const float* values;
  int64_t given;
  float factor;
  __device__ float value(int64_t at) const { return values[at < given ? at : at % given]; }
  __device__ void operator()(const Span& s, int64_t i) const {
    float& to = y[s.offset + i];
    switch (edit) {
      case SpanEdit::zero:
        to = 0;
        break;
      case SpanEdit::scale:
        to *= factor;
        break;
      case SpanEdit::set:
        to = value(s.at + i);
        break;
      case SpanEdit::add:
        to += value(s.at + i);
        break;
      case SpanEdit::interpolate:
        to = (1 - factor) * to + factor * value(s.at + i);
        break;
    }
  }
};
void edit_spans_impl(Queue& queue, const EditSpans<float>& a) {
  const float* values = queue.upload(a.values, a.given);
  for_numbers(queue, a.spans, a.count, EditNumber{a.y, a.edit, values, a.given, a.factor},
              "edit_spans");
}

// Sums of a column over the spans of one chunk. A span begins in column `at` of a row.
struct SumChunk {
  double* sums;  // (chunks, row)
  const float* x;
  const Span* spans;
  int64_t count, row;
  static constexpr int64_t kSpans = 32;
  __device__ void operator()(int64_t chunk, int64_t c) const {
    const int64_t end = min(count, (chunk + 1) * kSpans);
    double sum = 0;
    for (int64_t s = chunk * kSpans; s < end; ++s) {
      const Span span = spans[s];
      const int64_t first = c >= span.at ? c - span.at : c - span.at + row;
      for (int64_t i = first; i < span.length; i += row) sum += x[span.offset + i];
    }
    sums[chunk * row + c] = sum;
  }
};
struct MeanColumn {
  float* mean;
  const double* sums;
  int64_t chunks, row;
  double rows;
  __device__ void operator()(int64_t c) const {
    double sum = 0;
    for (int64_t chunk = 0; chunk < chunks; ++chunk) sum += sums[chunk * row + c];
    mean[c] = static_cast<float>(sum / rows);
  }
};
void mean_spans_impl(Queue& queue, const MeanSpans<float>& a) {
  if (a.row == 0) return;
  std::vector<Span> spans(a.spans, a.spans + a.count);
  int64_t numbers = 0;
  for (Span& span : spans) {
    span.at %= a.row;
    numbers += span.length;
  }
  const int64_t chunks = (a.count + SumChunk::kSpans - 1) / SumChunk::kSpans;
  auto* sums = queue.scratch<double>(chunks * a.row);
  const SumChunk each{sums, a.x, queue.upload(spans.data(), a.count), a.count, a.row};
  cuda::for_elements(queue, chunks, a.row, each, "mean_spans");
  auto* mean = queue.scratch<float>(a.row);
  const auto rows = static_cast<double>(numbers / a.row);
  cuda::for_each(queue, a.row, MeanColumn{mean, sums, chunks, a.row, rows}, "mean_spans");
  queue.download(a.mean, mean, a.row);
}

struct ClearNumber {
  float* d;
  const uint32_t *before, *after;
  __device__ void operator()(const Span& s, int64_t i) const {
    if (before[s.offset + i] != after[s.offset + i]) d[s.offset + i] = 0;
  }
};
void clear_changed_impl(Queue& queue, const ClearChanged<float>& a) {
  const ClearNumber each{a.d, reinterpret_cast<const uint32_t*>(a.before),
                         reinterpret_cast<const uint32_t*>(a.after)};
  for_numbers(queue, a.spans, a.count, each, "clear_changed");
}

// With the launch: there is nothing to upload.
struct SomePieces {
  static constexpr int64_t kMost = 128;
  CopyPiece<float> of[kMost];
};
// The blocks of a column of the grid share a piece.
__global__ void copy_pieces_kernel(SomePieces pieces) {
  const CopyPiece<float> piece = pieces.of[blockIdx.x];
  const int64_t first = static_cast<int64_t>(blockIdx.y) * blockDim.x + threadIdx.x;
  const int64_t step = static_cast<int64_t>(gridDim.y) * blockDim.x;
  const bool wide = cuda::are_wide(piece.to, piece.from);
  const int64_t fours = wide ? piece.length / 4 : 0;
  for (int64_t i = first; i < fours; i += step) {
    reinterpret_cast<float4*>(piece.to)[i] = reinterpret_cast<const float4*>(piece.from)[i];
  }
  for (int64_t i = 4 * fours + first; i < piece.length; i += step) piece.to[i] = piece.from[i];
}
void copy_pieces_impl(Queue& queue, const CopyPieces<float>& a) {
  for (int64_t begin = 0; begin < a.count; begin += SomePieces::kMost) {
    const int64_t count = std::min(a.count - begin, SomePieces::kMost);
    SomePieces pieces;
    int64_t longest = 1;
    for (int64_t i = 0; i < count; ++i) {
      pieces.of[i] = a.pieces[begin + i];
      longest = std::max(longest, pieces.of[i].length);
    }
    const unsigned blocks = std::min(64u, cuda::blocks_for(longest, int64_t{16} * cuda::kThreads));
    LAUNCH(copy_pieces_kernel, dim3(static_cast<unsigned>(count), blocks), dim3(cuda::kThreads), 0,
           queue.stream, pieces);
    cuda::check_launch("copy_pieces");
  }
}

}  // namespace

DEFINE_CUDA_OP(gather_spans, GatherSpans)
DEFINE_CUDA_OP(scatter_spans, ScatterSpans)
DEFINE_CUDA_OP(edit_spans, EditSpans)
DEFINE_CUDA_OP(mean_spans, MeanSpans)
DEFINE_CUDA_OP(clear_changed, ClearChanged)
DEFINE_CUDA_OP(copy_pieces, CopyPieces)

}  // namespace keyheads::ops
