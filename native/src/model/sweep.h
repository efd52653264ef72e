// Many variants of one base run (SweepRequest of binding.ts). The base is computed once; a variant
// only from its first edited layer and position on, with the base's keys and values before it, and
// only as far as something is read. Variants share the matrix products of a layer: their rows are
// rows of one matrix, in chunks that keep to a budget of memory.
#pragma once
#include "model/forward.h"

namespace keyheads {

// Where a request does not say what its work may take.
inline constexpr int64_t kSweepWorkBytes = int64_t{256} << 20;

enum class Freeze : uint8_t { none, attention, attention_mlp };

// An edit whose numbers lie somewhere in an array of the request: those of row r of the selection,
// head h and column c at offset + r row + h head + c column; entry i of a pattern at offset + i
// column.
template <class T>
struct SweepEdit {
  Site site;
  EditOp op;
  T factor = 1;
  int32_t value = -1;  // of SweepRequest::values; -1: none
  int64_t offset = 0, row = 0, head = 0, column = 0;
};

template <class T>
struct SweepRequest {
  Batch batch;
  std::vector<std::vector<T>> values;
  std::vector<SweepEdit<T>> edits;
  std::vector<std::vector<int32_t>> variants;  // edits of each, in the order in which they apply
  Freeze freeze;
  std::vector<Site> captures;
  Readout readout;     // rows are the last of each item, tokens items x width
  int64_t work_bytes;  // what the base run and the rows of variants may take at a time
};

template <class T>
struct SweepReadout {
  Tensor<T> logits;
  std::vector<int32_t> argmax;
  std::vector<T> logsumexp;
};

template <class T>
struct SweepResult {
  SweepReadout<T> base, variants;                  // [items, ...], [variants, items, ...]
  std::vector<Tensor<T>> base_captures, captures;  // [size], [variants, size]
};

// Where the readout of a result's row begins.
template <class T>
ReadoutView<T> view(SweepReadout<T>& readout, int64_t row) {
  return {readout.logits ? readout.logits.m.row(row) : nullptr, readout.argmax.data() + row,
          readout.logsumexp.data() + row};
}

template <class T>
SweepResult<T> sweep(Context& ctx, const Model<T>& model, const SweepRequest<T>& request);

}  // namespace keyheads
