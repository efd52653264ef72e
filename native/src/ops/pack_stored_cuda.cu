#include "cuda/rows.h"
#include "cuda/weight.h"
#include "ops/pack_stored.h"
#include "ops/stored.h"

namespace keyheads::ops {
namespace {

using cuda::Queue;

template <class From>
KEYHEADS_INLINE void convert(typename From::Bits bits, float& to) {
  to = From::template full<float>(bits);
}
template <class From>
KEYHEADS_INLINE void convert(typename From::Bits bits, cuda::Bf16& to) {
  to.bits = static_cast<uint16_t>(From::bf16(bits));
}

template <class From, class E>
struct PackEach {
  Mat<E> w;
  const typename From::Bits* data;
  int64_t row_step, col_step, row0, col0;
  __device__ void operator()(int64_t r, int64_t c) const {
    convert<From>(data[r * row_step + c * col_step], w.row(row0 + r)[col0 + c]);
  }
};

// Only the numbers that are wanted are uploaded, without what lies between the lines of the file.
template <class From>
void pack_from(Queue& queue, const PackStored<float>& a) {
  using Bits = typename From::Bits;
  const bool by_rows = a.col_step == 1;
  const int64_t lines = by_rows ? a.rows : a.cols, length = by_rows ? a.cols : a.rows;
  if (lines * length == 0) return;
  const size_t step = static_cast<size_t>(by_rows ? a.row_step : a.col_step);
  auto* data = queue.scratch<Bits>(lines * length);
  queue.upload_lines(data, a.data, static_cast<size_t>(length) * sizeof(Bits), step * sizeof(Bits),
                     static_cast<size_t>(lines));
  const int64_t row_step = by_rows ? length : 1, col_step = by_rows ? 1 : length;
  cuda::visit_matrix(a.w, [&]<class E>(const Mat<E>& w) {
    const PackEach<From, E> each{w, data, row_step, col_step, a.row0, a.col0};
    cuda::for_elements(queue, a.rows, a.cols, each, "pack_stored");
  });
}

void pack_stored_impl(Queue& queue, const PackStored<float>& a) {
  with_stored(a.type, [&]<class From>(From) { pack_from<From>(queue, a); });
}

template <class From>
struct ConvertEach {
  float* y;
  const typename From::Bits* data;
  Storage storage;
  __device__ void operator()(int64_t i) const {
    y[i] = storage == Storage::full ? From::template full<float>(data[i])
                                    : Bf16Pair::widen(From::bf16(data[i]) << 16);
  }
};
void convert_stored_impl(Queue& queue, const ConvertStored<float>& a) {
  if (a.count == 0) return;
  with_stored(a.type, [&]<class From>(From) {
    using Bits = typename From::Bits;
    auto* data = queue.scratch<Bits>(a.count);
    queue.upload_bytes(data, a.data, static_cast<size_t>(a.count) * sizeof(Bits));
    cuda::for_each(queue, a.count, ConvertEach<From>{a.y, data, a.storage}, "convert_stored");
  });
}

}  // namespace

DEFINE_CUDA_OP(pack_stored, PackStored)
DEFINE_CUDA_OP(convert_stored, ConvertStored)

}  // namespace keyheads::ops
