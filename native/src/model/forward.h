// Forward and backward runs as requests (binding.ts): what is edited, what is read.
#pragma once
#include "model/decoder.h"

namespace keyheads {

enum class LogitsWanted : uint8_t { none, tokens, all };

// Readout of binding.ts; `rows` index the packed batch.
struct Readout {
  bool wanted = false;
  std::vector<int32_t> rows;
  LogitsWanted logits = LogitsWanted::none;
  std::vector<int32_t> tokens;  // rows x width
  bool argmax = false;
  bool logsumexp = false;

  int64_t width() const {
    return rows.empty() ? 0 : static_cast<int64_t>(tokens.size() / rows.size());
  }
};

template <class T>
struct ReadoutResult {
  std::vector<T> logits;
  std::vector<int32_t> argmax;
  std::vector<T> logsumexp;
};

// Where a readout's rows are written; null where there is nothing to write.
template <class T>
struct ReadoutView {
  T* logits = nullptr;
  int32_t* argmax = nullptr;
  T* logsumexp = nullptr;
};

template <class T>
struct ForwardResult {
  ReadoutResult<T> readout;
  std::vector<Tensor<T>> captures;
  Tensor<T> residual;  // of a range that stops
};

enum class ObjectiveKind : uint8_t { cross_entropy, logits, residual };

template <class T>
struct Objective {
  ObjectiveKind kind;
  std::vector<int32_t> rows;
  std::vector<int32_t> targets;
  std::vector<T> weights;
};

template <class T>
struct BackwardResult {
  double objective = 0;
  std::vector<T> per_row;
  std::vector<Tensor<T>> captures, gradients;
};

template <class T>
ForwardResult<T> forward(Context& ctx, const Model<T>& model, const Batch& batch,
                         const std::vector<Site>& captures, const std::vector<Edit<T>>& edits,
                         const Readout& readout, KvCache<T>* cache, const Range<T>& range = {});

// With `directions`, sites give derivatives along them. With `slices`, the gradients of the
// selected weights are added to them. With `recompute`, blocks keep their input only and are
// computed again in the backward pass.
template <class T>
BackwardResult<T> backward(Context& ctx, const Model<T>& model, const Batch& batch,
                           const std::vector<Site>& captures, const std::vector<Edit<T>>& edits,
                           const std::vector<Site>& gradients, const Objective<T>& objective,
                           const SliceMap<T>* slices, const Range<T>& range = {},
                           const BackwardRules& rules = {}, bool recompute = false,
                           const Directions<T>* directions = nullptr);

// Numbers of one row of logits that a readout gives back.
int64_t logits_width(const Readout& readout, int64_t rows, int64_t vocab);

// Logits of already normed rows, with the model's bias and cap; where only a summary of them is
// wanted, in chunks so that no more than a few megabytes of them exist.
template <class T>
void read_logits(Context& ctx, const Model<T>& model, Mat<const T> normed, const Readout& readout,
                 const ReadoutView<T>& out);

}  // namespace keyheads
