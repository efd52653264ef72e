#include "model/stream.h"

#include <algorithm>

#include "base/check.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "ops/embed.h"
#include "ops/linear.h"
#include "ops/pack_stored.h"

namespace keyheads {
namespace {

// One panel: x takes the place of a weight.
constexpr int64_t kMostRows = kPanel;
// What a thread reads before it multiplies: stays in the second-level cache.
constexpr int64_t kPieceBytes = 256 << 10;
constexpr int64_t kTile = 6;  // rows that a product computes at once

// Rows [begin, begin + rows) of a part.
struct Piece {
  const TensorSource* part;
  const File* file;
  int64_t begin, rows;
};

std::vector<Piece> pieces_of(const Unread& unread, int64_t k) {
  std::vector<Piece> pieces;
  for (const TensorSource& part : unread.parts) {
    const File& file = unread.files->at(part.file);
    const int64_t line = k * stored_type(part).bytes;
    file.fetch(part.offset, StoredMatrix(part).first * line);
    // of equal tiles
    const int64_t rows = std::max<int64_t>(kPieceBytes / line / kTile, 1) * kTile;
    for (int64_t begin = 0; begin < part.count(); begin += rows) {
      pieces.push_back({&part, &file, begin, std::min(rows, part.count() - begin)});
    }
  }
  return pieces;
}

// What one thread needs for a piece; blocks that were freed are used again.
std::shared_ptr<void> scratch(int64_t bytes) {
  return allocate(static_cast<size_t>(bytes), Purpose::scratch);
}

template <class T>
class Stream {
 public:
  Stream(Context& ctx, const Parameter<T>& w) : ctx_(ctx), w_(w), unread_(*w.unread()) {}

  // The chain of an output is a product of two numbers at every k, so W may stand where rows are
  // and x where a weight is: y^T = W x^T.
  void multiply(Mat<T> y, Mat<const T> x, const T* bias) const {
    // with AVX512_BF16, linear rounds x where W is in bfloat16
    const bool rounded = ctx_.isa == Isa::v4_bf16 && w_.storage() == Storage::bf16;
    Weight<T> right{nullptr, x.rows, w_.k(), rounded ? Storage::bf16 : Storage::full};
    const auto memory = scratch(right.bytes());
    right.data = memory.get();
    ops::pack(ctx_, ops::Pack<T>{.w = right, .matrix = x});
    const std::vector<Piece> pieces = pieces_of(unread_, w_.k());
    parallel_for(ctx_, static_cast<int64_t>(pieces.size()), [&](int64_t i) {
      if (ctx_.cancelled && ctx_.cancelled->load(std::memory_order_relaxed)) return;
      const Piece& piece = pieces[static_cast<size_t>(i)];
      const int64_t first = piece.part->rows[0] + piece.begin;
      const bool pairs =
          rounded && w_.k() % 2 == 0 && stored_type(*piece.part).type == ops::Stored::bf16;
      const auto values = scratch(piece.rows * w_.k() * static_cast<int64_t>(sizeof(T)));
      const auto product = scratch(piece.rows * x.rows * static_cast<int64_t>(sizeof(T)));
      if (pairs) {
        read_stored(piece, static_cast<char*>(values.get()));
      } else {
        read(piece, static_cast<T*>(values.get()));
      }
      const Mat<T> transposed{static_cast<T*>(product.get()), piece.rows, x.rows, x.rows};
      ops::linear(ctx_, ops::Linear<T>{
                            .y = transposed,
                            .x = {static_cast<T*>(values.get()), piece.rows, w_.k(), w_.k()},
                            .w = right,
                            .bias = nullptr,
                            .pairs = pairs ? static_cast<const Bf16Pair*>(values.get()) : nullptr});
      for (int64_t n = 0; n < piece.rows; ++n) {
        for (int64_t m = 0; m < x.rows; ++m) {
          const T sum = transposed.row(n)[m];
          y.row(m)[first + n] = bias ? sum + bias[first + n] : sum;
        }
      }
    });
    check();
  }

  void look_up(Mat<T> y, const int32_t* ids, T factor) const {
    parallel_for(ctx_, y.rows, [&](int64_t m) {
      const auto part = std::find_if(unread_.parts.begin(), unread_.parts.end(),
                                     [&](const TensorSource& s) { return ids[m] < s.rows[1]; });
      const Piece piece{&*part, &unread_.files->at(part->file), ids[m] - part->rows[0], 1};
      read(piece, y.row(m));
      for (int64_t c = 0; c < w_.k(); ++c) y.row(m)[c] *= factor;
    });
    check();
  }

 private:
  // The piece as the weight would hold it, row by row.
  void read(const Piece& piece, T* values) const {
    const StoredType& type = stored_type(*piece.part);
    const bool as_it_is = w_.storage() == Storage::full &&
                          type.type == (sizeof(T) == 4 ? ops::Stored::f32 : ops::Stored::f64);
    if (as_it_is) return read_stored(piece, reinterpret_cast<char*>(values));
    const auto stored = scratch(piece.rows * w_.k() * type.bytes);
    read_stored(piece, static_cast<char*>(stored.get()));
    ops::convert_stored(ctx_, ops::ConvertStored<T>{.y = values,
                                                    .data = stored.get(),
                                                    .type = type.type,
                                                    .storage = w_.storage(),
                                                    .count = piece.rows * w_.k()});
  }

  void read_stored(const Piece& piece, char* to) const {
    const int64_t line = w_.k() * stored_type(*piece.part).bytes;
    for_runs(*piece.part, piece.begin, piece.begin + piece.rows,
             [&](int64_t n, int64_t count, int64_t index) {
               piece.file->read(piece.part->offset + index * line, count * line,
                                to + (n - piece.begin) * line);
             });
  }

  void check() const {
    check_cancelled(ctx_);
    for (const TensorSource& part : unread_.parts) unread_.files->at(part.file).check_unchanged();
  }

  Context& ctx_;
  const Parameter<T>& w_;
  const Unread& unread_;
};

}  // namespace

template <class T>
bool can_stream(const Parameter<T>& w) {
  const Unread* unread = w.unread();
  return unread && std::none_of(unread->parts.begin(), unread->parts.end(),
                                [](const TensorSource& s) { return s.transpose; });
}

template <class T>
void multiply(Context& ctx, Mat<T> y, Mat<const T> x, const Parameter<T>& w,
              const Parameter<T>* bias) {
  const T* added = bias ? bias->vector() : nullptr;
  Unread* unread = w.unread();
  if (unread && !unread->multiplied && x.rows <= kMostRows && !ctx.planning) {
    Stream<T>(ctx, w).multiply(y, x, added);
    unread->multiplied = true;
    return;
  }
  ops::linear(ctx, ops::Linear<T>{.y = y, .x = x, .w = w.weight(ctx), .bias = added});
}

template <class T>
void look_up(Context& ctx, Mat<T> y, const Parameter<T>& w, const int32_t* ids, T factor) {
  Unread* unread = w.unread();
  if (unread && !unread->looked_up && y.rows <= kMostRows && !ctx.planning) {
    Stream<T>(ctx, w).look_up(y, ids, factor);
    unread->looked_up = true;
    return;
  }
  ops::embed(ctx, ops::Embed<T>{.y = y, .w = w.weight(ctx), .ids = ids, .factor = factor});
}

#define INSTANTIATE(T)                                                        \
  template bool can_stream(const Parameter<T>&);                              \
  template void multiply(Context&, Mat<T>, Mat<const T>, const Parameter<T>&, \
                         const Parameter<T>*);                                \
  template void look_up(Context&, Mat<T>, const Parameter<T>&, const int32_t*, T);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
