#include "ops/elementwise.h"
#include "ops/rows.h"

// ivdep: y may be a; that is no reason for the compiler to leave scalar code.

namespace keyheads::ops {
namespace {

template <class T>
void add_impl(Context& ctx, const Add<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t r) {
    T* y = a.y.row(r);
    const T* left = a.a.row(r);
    const T* right = a.b.row(r);
#pragma GCC ivdep
    for (int64_t c = 0; c < a.y.cols; ++c) y[c] = left[c] + right[c];
  });
}

template <class T>
void add_scaled_impl(Context& ctx, const AddScaled<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t r) {
    T* y = a.y.row(r);
    const T* x = a.x.row(r);
#pragma GCC ivdep
    for (int64_t c = 0; c < a.y.cols; ++c) y[c] += a.factor * x[c];
  });
}

template <class T>
void gather_rows_impl(Context& ctx, const GatherRows<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t r) {
    T* y = a.y.row(r);
    const T* x = a.x.row(a.rows[r]);
    for (int64_t c = 0; c < a.y.cols; ++c) y[c] = x[c];
  });
}

// In parallel over columns: rows may repeat.
template <class T>
void scatter_rows_impl(Context& ctx, const ScatterRows<T>& a) {
  for_ranges(ctx, a.x.cols, a.x.rows, 64, [&](int64_t begin, int64_t end) {
    for (int64_t r = 0; r < a.x.rows; ++r) {
      T* y = a.y.row(a.rows[r]);
      const T* x = a.x.row(r);
      for (int64_t c = begin; c < end; ++c) y[c] += x[c];
    }
  });
}

template <class T>
void assign_rows_impl(Context& ctx, const AssignRows<T>& a) {
  for_rows(ctx, a.x.rows, a.x.cols, [&](int64_t r) {
    T* y = a.y.row(a.rows[r]);
    const T* x = a.x.row(r);
    for (int64_t c = 0; c < a.x.cols; ++c) y[c] = x[c];
  });
}

template <class T>
void add_row_impl(Context& ctx, const AddRow<T>& a) {
  for_rows(ctx, a.y.rows, a.y.cols, [&](int64_t r) {
    T* y = a.y.row(r);
    const T* x = a.x.row(r);
#pragma GCC ivdep
    for (int64_t c = 0; c < a.y.cols; ++c) y[c] = x[c] + a.row[c];
  });
}

template <class T>
void equal_rows_impl(Context& ctx, const EqualRows<T>& a) {
  const size_t bytes = static_cast<size_t>(a.x.cols) * sizeof(T);
  for_rows(ctx, a.count, a.x.cols, [&](int64_t i) {
    a.equal[i] = __builtin_memcmp(a.x.row(a.a[i]), a.x.row(a.b[i]), bytes) == 0;
  });
}

}  // namespace

DEFINE_OP(add, Add)
DEFINE_OP(add_scaled, AddScaled)
DEFINE_OP(gather_rows, GatherRows)
DEFINE_OP(scatter_rows, ScatterRows)
DEFINE_OP(assign_rows, AssignRows)
DEFINE_OP(add_row, AddRow)
DEFINE_OP(equal_rows, EqualRows)

}  // namespace keyheads::ops
