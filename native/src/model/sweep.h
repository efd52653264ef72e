// Many variants of one base run (SweepRequest of binding.ts): the base is computed once, a variant
// only from its first edited layer on, and, where only the last position can change, as one row.
#pragma once
#include "model/forward.h"

namespace keyheads {

enum class Freeze : uint8_t { none, attention, attention_mlp };

template <class T>
struct Bank {
  std::vector<T> z;    // [layers, rows, heads * d_head] or empty
  std::vector<T> mlp;  // [layers, rows, d_model] or empty
};

struct VariantEdit {
  int32_t layer;
  int32_t head;  // -1: the MLP's output
  int32_t bank;  // -1: zero
};

template <class T>
struct SweepRequest {
  Batch batch;
  std::vector<Bank<T>> banks;
  std::vector<std::vector<VariantEdit>> variants;
  Freeze freeze;
  bool all_positions;
  Readout readout;  // rows are the last of each item, tokens items x width
};

template <class T>
struct SweepResult {
  ReadoutResult<T> base, variants;
};

template <class T>
SweepResult<T> sweep(Context& ctx, const Model<T>& model, const SweepRequest<T>& request);

// The two planners behind `sweep`; items are a chunk of the request's.
template <class T>
struct SweepChunk {
  const SweepRequest<T>& request;
  Batch batch;  // items [first, first + batch.items()) of the request
  int64_t first_item;
  int64_t first_row;       // of the request's batch
  SweepResult<T>& result;  // sized for the whole request

  Readout readout_of(int64_t copies) const;
  // Puts the readout of `copies` variants, item by item, where it belongs.
  void store(const ReadoutResult<T>& from, const std::vector<int64_t>& variants) const;
  void store_base(const ReadoutResult<T>& from) const;
  // First row of a bank that belongs to an item's last position, or to the chunk's first token.
  int64_t bank_rows() const {
    return request.all_positions ? request.batch.rows() : request.batch.items();
  }
  int64_t end_bank_row(int64_t item) const {
    return request.all_positions ? request.batch.offsets[first_item + item + 1] - 1
                                 : first_item + item;
  }
};

// Rows of the last position through the layers, attention frozen or attending to the base's keys.
template <class T>
void sweep_rows(Context& ctx, const Model<T>& model, const SweepChunk<T>& chunk);
// Whole sequences from the first edited layer on.
template <class T>
void sweep_sequences(Context& ctx, const Model<T>& model, const SweepChunk<T>& chunk);

}  // namespace keyheads
