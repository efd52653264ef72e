#include "ops/pack_stored.h"
#include "ops/stored.h"
#include "ops/transpose.h"

namespace keyheads::ops {
namespace {

template <class From>
KEYHEADS_INLINE typename From::Bits read(const void* data, int64_t index) {
  typename From::Bits bits;
  __builtin_memcpy(&bits, static_cast<const char*>(data) + index * sizeof bits, sizeof bits);
  return bits;
}

// `count` neighbours in k, `step` numbers apart, as elements.
template <class From, class T>
KEYHEADS_INLINE void convert(const void* data, int64_t first, int64_t step, int64_t count, T* to) {
  for (int64_t i = 0; i < count; ++i) {
    to[i] = From::template full<T>(read<From>(data, first + i * step));
  }
}
template <class From, class T>
KEYHEADS_INLINE void convert(const void* data, int64_t first, int64_t step, int64_t count,
                             Bf16Pair* to) {
  for (int64_t i = 0; i < count / 2; ++i) {
    to[i].bits = From::bf16(read<From>(data, first + 2 * i * step)) |
                 From::bf16(read<From>(data, first + (2 * i + 1) * step)) << 16;
  }
  if (count % 2) to[count / 2].bits = From::bf16(read<From>(data, first + (count - 1) * step));
}

// Pairs are moved as floats of the same bits, which no move changes.
template <class T>
KEYHEADS_INLINE T* movable(T* p) {
  return p;
}
KEYHEADS_INLINE float* movable(Bf16Pair* p) { return reinterpret_cast<float*>(p); }

// Rows of the file are rows of W: converted into lines that stay in the cache, then transposed.
template <class From, class T, class E>
KEYHEADS_INLINE void pack_rows(const PackStored<T>& a, const Panels<E>& w) {
  constexpr int64_t kColumns = 128;
  alignas(64) E lines[kPanel * kColumns / kPerElement<E>];
  constexpr int64_t kLine = kColumns / kPerElement<E>;
  for (int64_t row = 0; row < a.rows;) {
    const int64_t n = a.row0 + row;
    const int64_t rows = smaller(kPanel - n % kPanel, a.rows - row);
    for (int64_t col = 0; col < a.cols; col += kColumns) {
      const int64_t cols = smaller(kColumns, a.cols - col);
      for (int64_t r = 0; r < rows; ++r) {
        convert<From, T>(a.data, (row + r) * a.row_step + col, 1, cols, lines + r * kLine);
      }
      transpose(movable(lines), kLine, rows, ceil_div(cols, kPerElement<E>),
                movable(&w.at(n, a.col0 + col)), kPanel);
    }
    row += rows;
  }
}

// Columns of the file are rows of W: neighbours in a panel already.
template <class From, class T, class E>
KEYHEADS_INLINE void pack_columns(const PackStored<T>& a, const Panels<E>& w) {
  constexpr int64_t K = kPerElement<E>;
  for (int64_t col = 0; col < a.cols; col += K) {
    const int64_t cols = smaller(K, a.cols - col);
    for (int64_t row = 0; row < a.rows;) {
      const int64_t n = a.row0 + row;
      const int64_t rows = smaller(kPanel - n % kPanel, a.rows - row);
      E* to = &w.at(n, a.col0 + col);
      for (int64_t r = 0; r < rows; ++r) {
        convert<From, T>(a.data, row + r + col * a.col_step, a.col_step, cols, to + r);
      }
      row += rows;
    }
  }
}

template <class From, class T>
KEYHEADS_INLINE void pack_from(const PackStored<T>& a) {
  a.w.visit(
      [&](const auto& w) { a.col_step == 1 ? pack_rows<From>(a, w) : pack_columns<From>(a, w); });
}

template <class From, class T>
KEYHEADS_INLINE void convert_from(const ConvertStored<T>& a) {
  if (a.storage == Storage::full) return convert<From, T>(a.data, 0, 1, a.count, a.y);
  for (int64_t i = 0; i < a.count; ++i) {
    a.y[i] = static_cast<T>(Bf16Pair::widen(From::bf16(read<From>(a.data, i)) << 16));
  }
}

template <class T>
void pack_stored_impl(Context&, const PackStored<T>& a) {
  with_stored(a.type, [&]<class From>(From) { pack_from<From>(a); });
}

template <class T>
void convert_stored_impl(Context&, const ConvertStored<T>& a) {
  with_stored(a.type, [&]<class From>(From) { convert_from<From>(a); });
}

}  // namespace

DEFINE_OP(pack_stored, PackStored)
DEFINE_OP(convert_stored, ConvertStored)

}  // namespace keyheads::ops
