// Rotated keys and values of growing sequences, for generation.
#pragma once
#include <vector>

#include "base/tensor.h"
#include "model/batch.h"
#include "model/spec.h"
#include "ops/spans.h"

namespace keyheads {

template <class T>
class KvCache {
 public:
  KvCache(const Spec& spec, int64_t sequences)
      : width_(spec.kv_width()),
        layers_(static_cast<size_t>(spec.layers),
                std::vector<Entry>(static_cast<size_t>(sequences))),
        lengths_(static_cast<size_t>(sequences), 0) {}

  int64_t sequences() const { return static_cast<int64_t>(lengths_.size()); }
  int64_t length(int64_t sequence) const { return lengths_[sequence]; }
  const T* keys(int64_t layer, int64_t sequence) const { return layers_[layer][sequence].k.data(); }
  const T* values(int64_t layer, int64_t sequence) const {
    return layers_[layer][sequence].v.data();
  }

  // Copies the rows of one layer behind the sequences' lengths, which `advance` then moves.
  void append(Context& ctx, int64_t layer, const Batch& batch, const Mat<T>& k, const Mat<T>& v) {
    std::vector<ops::CopyPiece<T>> pieces;
    for (int64_t i = 0; i < batch.items(); ++i) {
      Entry& e = layers_[layer][i];
      const int64_t rows = batch.length(i), needed = lengths_[i] + rows;
      if (!e.k || e.k.rows() < needed) {
        const int64_t capacity = needed + needed / 2 + 16;
        grow(ctx, e.k, capacity, lengths_[i]);
        grow(ctx, e.v, capacity, lengths_[i]);
      }
      pieces.push_back({e.k.m.row(lengths_[i]), k.row(batch.offsets[i]), rows * width_});
      pieces.push_back({e.v.m.row(lengths_[i]), v.row(batch.offsets[i]), rows * width_});
    }
    ops::copy_pieces(ctx, ops::CopyPieces<T>{.pieces = pieces.data(), .count = std::ssize(pieces)});
  }
  void advance(int64_t sequence, int64_t rows) { lengths_[sequence] += rows; }

 private:
  struct Entry {
    Tensor<T> k, v;
  };

  size_t bytes_of(int64_t rows) const { return static_cast<size_t>(rows * width_) * sizeof(T); }
  void grow(Context& ctx, Tensor<T>& t, int64_t capacity, int64_t used) {
    Tensor<T> larger(capacity, width_);
    copy_bytes(ctx, larger.data(), t.data(), bytes_of(used));
    t = larger;
  }

  int64_t width_;
  std::vector<std::vector<Entry>> layers_;
  std::vector<int64_t> lengths_;
};

}  // namespace keyheads
