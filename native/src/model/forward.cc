#include "model/forward.h"

#include <algorithm>
#include <iterator>
#include <optional>

#include "base/check.h"
#include "model/stream.h"
#include "ops/elementwise.h"
#include "ops/linear.h"
#include "ops/loss.h"
#include "ops/objective.h"
#include "ops/soft_cap.h"

namespace keyheads {
namespace {

void check_rows(const std::vector<int32_t>& rows, int64_t count, const char* what) {
  for (const int32_t row : rows) {
    if (row < 0 || row >= count) {
      fail("BAD_ARGUMENT", what, ": row ", row, " is outside the batch of ", count, " tokens");
    }
  }
}

void check_tokens(const std::vector<int32_t>& tokens, int64_t vocab, const char* what) {
  for (const int32_t token : tokens) {
    if (token < 0 || token >= vocab) {
      fail("BAD_ARGUMENT", what, ": token id ", token, " is outside the vocabulary of ", vocab);
    }
  }
}

template <class T>
void cap_logits(Context& ctx, const Spec& spec, Mat<T> logits) {
  if (spec.logit_cap == 0) return;
  ops::soft_cap(ctx,
                ops::SoftCap<T>{.y = logits, .x = logits, .cap = static_cast<T>(spec.logit_cap)});
}

// The bits of the same columns of all logits.
template <class T>
void read_selected(Context& ctx, const Model<T>& model, Mat<const T> normed,
                   const std::vector<int32_t>& tokens, Mat<T> logits) {
  const Parameter<T>* bias = model.weights.unembed_bias;
  ops::selected_linear(ctx, ops::SelectedLinear<T>{.y = logits,
                                                   .x = normed,
                                                   .w = model.weights.unembed->weight(ctx),
                                                   .ids = tokens.data(),
                                                   .bias = bias ? bias->vector() : nullptr});
  cap_logits(ctx, model.spec, logits);
}

// Rows of logits between two looks whether the call is cancelled.
constexpr int64_t kLogitRows = 1024;

// Rows whose logits exist at once where only their summary is wanted.
int64_t readout_chunk(int64_t vocab) { return std::max<int64_t>(16, (int64_t{4} << 20) / vocab); }

// Room for a readout; while planning, its size.
template <class T>
ReadoutView<T> prepare(Context& ctx, const Readout& readout, int64_t rows, int64_t vocab,
                       ReadoutResult<T>& out) {
  const auto size = static_cast<int64_t>(sizeof(T));
  const int64_t width = logits_width(readout, rows, vocab);
  if (ctx.planning) {
    if (ctx.device) return {};  // the host's memory
    MemoryPlan::count(rows *
                      (width * size + (readout.argmax ? 4 : 0) + (readout.logsumexp ? size : 0)));
    return {};
  }
  out.logits.resize(static_cast<size_t>(rows * width));
  if (readout.argmax) out.argmax.resize(static_cast<size_t>(rows));
  if (readout.logsumexp) out.logsumexp.resize(static_cast<size_t>(rows));
  return {out.logits.data(), out.argmax.data(), out.logsumexp.data()};
}

template <class T>
int64_t width_of(const Objective<T>& objective) {
  return objective.rows.empty() ? 0 : std::ssize(objective.weights) / std::ssize(objective.rows);
}

// An objective that is a weighted sum of what each row has; `ids` as in WeighColumns.
template <class T>
void weigh(Context& ctx, Mat<const T> x, const int32_t* ids, const Objective<T>& objective,
           BackwardResult<T>& result) {
  std::vector<double> sums(static_cast<size_t>(x.rows));
  ops::weigh_columns(ctx, ops::WeighColumns<T>{.sums = sums.data(),
                                               .x = x,
                                               .ids = ids,
                                               .weights = objective.weights.data(),
                                               .width = width_of(objective)});
  for (const double sum : sums) {
    result.per_row.push_back(static_cast<T>(sum));
    result.objective += sum;
  }
}
template <class T>
Tensor<T> weigh_backward(Context& ctx, int64_t rows, int64_t cols, const int32_t* ids,
                         const Objective<T>& objective) {
  Tensor<T> dx = Tensor<T>::zeros(ctx, rows, cols);
  ops::weigh_columns_backward(ctx, ops::WeighColumnsBackward<T>{.dx = dx.m,
                                                                .ids = ids,
                                                                .weights = objective.weights.data(),
                                                                .width = width_of(objective)});
  return dx;
}

// Objective residual: sum of weights[r, c] * x[rows[r], c].
template <class T>
void weigh_residual(Context& ctx, const Var<T>& x, const Objective<T>& objective,
                    BackwardResult<T>& result) {
  const int32_t* rows = objective.rows.data();
  Tensor<T> read(std::ssize(objective.rows), x.cols());
  ops::gather_rows(ctx, ops::GatherRows<T>{.y = read.m, .x = x.m(), .rows = rows});
  weigh<T>(ctx, read.m, nullptr, objective, result);
  if (!x.grad) return;
  const Tensor<T> d = weigh_backward(ctx, read.rows(), read.cols(), nullptr, objective);
  x.grad->tensor = Tensor<T>::zeros(ctx, x.rows(), x.cols());
  ops::scatter_rows(ctx, ops::ScatterRows<T>{.y = x.grad->tensor.m, .x = d.m, .rows = rows});
}

// The gradient of an objective of logits; nothing where none is wanted.
template <class T>
Tensor<T> weigh_cross_entropy(Context& ctx, const Var<T>& logits, const Objective<T>& objective,
                              T* loss) {
  Tensor<T> dlogits = logits.grad ? Tensor<T>(logits.rows(), logits.cols()) : Tensor<T>();
  ops::cross_entropy(ctx, ops::CrossEntropy<T>{.loss = loss,
                                               .dlogits = dlogits.m,
                                               .logits = logits.m(),
                                               .targets = objective.targets.data(),
                                               .weights = objective.weights.data()});
  return dlogits;
}

template <class T>
Tensor<T> weigh_logits(Context& ctx, const Var<T>& logits, const Objective<T>& objective,
                       BackwardResult<T>& result) {
  const int32_t* ids = objective.targets.data();
  weigh<T>(ctx, logits.m(), ids, objective, result);
  if (!logits.grad) return {};
  return weigh_backward(ctx, logits.rows(), logits.cols(), ids, objective);
}

// Objectives of logits, given the final norm of the rows. Capped logits keep their gradient's rule
// on the tape; the cross entropy of others never has all of them in memory.
template <class T>
void weigh_readout(Graph<T>& graph, const Model<T>& model, const Var<T>& normed,
                   const Objective<T>& objective, BackwardResult<T>& result) {
  const Weights<T>& w = model.weights;
  const auto cap = static_cast<T>(model.spec.logit_cap);
  const bool entropy = objective.kind == ObjectiveKind::cross_entropy;
  if (entropy) result.per_row.resize(static_cast<size_t>(normed.rows()));
  T* terms = result.per_row.data();
  if (entropy && cap == 0) {
    graph.cross_entropy(normed, *w.unembed, w.unembed_bias, objective.targets.data(),
                        objective.weights.data(), terms);
  } else {
    const Var<T> logits = graph.soft_cap(graph.linear(normed, *w.unembed, w.unembed_bias), cap);
    Tensor<T> dlogits = entropy ? weigh_cross_entropy(graph.context(), logits, objective, terms)
                                : weigh_logits(graph.context(), logits, objective, result);
    if (logits.grad) logits.grad->tensor = std::move(dlogits);
  }
  for (size_t r = 0; entropy && r < result.per_row.size(); ++r) {
    result.objective += static_cast<double>(objective.weights[r]) * terms[r];
  }
}

}  // namespace

int64_t logits_width(const Readout& readout, int64_t rows, int64_t vocab) {
  if (readout.logits == LogitsWanted::none) return 0;
  if (readout.logits == LogitsWanted::all) return vocab;
  return rows == 0 ? 0 : static_cast<int64_t>(readout.tokens.size()) / rows;
}

template <class T>
void read_logits(Context& ctx, const Model<T>& model, Mat<const T> normed, const Readout& readout,
                 const ReadoutView<T>& out) {
  const Parameter<T>& unembed = *model.weights.unembed;
  const Parameter<T>* bias = model.weights.unembed_bias;
  const int64_t rows = normed.rows, vocab = unembed.n();
  const bool all = readout.logits == LogitsWanted::all;
  if (readout.logits == LogitsWanted::tokens) {
    const int64_t width = readout.width();
    check_tokens(readout.tokens, vocab, "readout");
    write_to_host<T>(ctx, {out.logits, rows, width, width}, [&](const Mat<T>& logits) {
      read_selected<T>(ctx, model, normed, readout.tokens, logits);
    });
  }
  if (!all && !readout.argmax && !readout.logsumexp) return;
  const int64_t chunk = all ? kLogitRows : readout_chunk(vocab);
  Tensor<T> scratch;
  if (!all) scratch = Tensor<T>(std::min(chunk, rows), vocab);
  const auto read_rows = [&](int64_t first, const Mat<T>& logits) {
    multiply<T>(ctx, logits, {normed.row(first), logits.rows, normed.cols, normed.stride}, unembed,
                bias);
    cap_logits(ctx, model.spec, logits);
    if (!readout.argmax && !readout.logsumexp) return;
    ops::row_summary(
        ctx, ops::RowSummary<T>{.argmax = readout.argmax ? out.argmax + first : nullptr,
                                .logsumexp = readout.logsumexp ? out.logsumexp + first : nullptr,
                                .logits = logits});
  };
  // A plan needs to see one of them only.
  for (int64_t first = 0; first < (ctx.planning ? std::min(rows, chunk) : rows); first += chunk) {
    check_cancelled(ctx);
    const int64_t n = std::min(chunk, rows - first);
    if (scratch) {
      read_rows(first, {scratch.data(), n, vocab, vocab});
    } else {
      write_to_host<T>(ctx, {out.logits + first * vocab, n, vocab, vocab},
                       [&](const Mat<T>& logits) { read_rows(first, logits); });
    }
  }
}

template <class T>
ForwardResult<T> forward(Context& ctx, const Model<T>& model, const Batch& batch,
                         const std::vector<Site>& captures, const std::vector<Edit<T>>& edits,
                         const Readout& readout, KvCache<T>* cache, const Range<T>& range) {
  const std::vector<Site> no_gradients;
  Graph<T> graph(ctx, nullptr, nullptr);
  Taps<T> taps(ctx, model.spec, batch, captures, edits, no_gradients, range);
  std::optional<KvCache<T>> planned;
  if (ctx.planning && cache) cache = &planned.emplace(*cache);  // the caller's stays as it is
  Decoder<T> decoder(model, graph, batch, taps, cache);
  check_rows(readout.rows, batch.rows(), "readout");
  if (cache && (range.starts() || range.stops())) {
    fail("BAD_ARGUMENT", "a run with a cache computes all layers; leave out the cache, or the ",
         "layers to start and stop at");
  }
  if (readout.wanted && range.stops()) {
    fail("BAD_ARGUMENT", "a run that stops before layer ", range.last, " has no logits to read");
  }
  const Var<T> end = decoder.run(readout.rows, range);
  ForwardResult<T> result;
  if (range.stops()) result.residual = copy_of(ctx, end.value);
  if (readout.wanted) {
    const ReadoutView<T> to = prepare(ctx, readout, end.rows(), model.spec.vocab, result.readout);
    read_logits<T>(ctx, model, end.m(), readout, to);
  }
  taps.check_all_fired();
  result.captures = std::move(taps.captures);
  return result;
}

template <class T>
BackwardResult<T> backward(Context& ctx, const Model<T>& model, const Batch& batch,
                           const std::vector<Site>& captures, const std::vector<Edit<T>>& edits,
                           const std::vector<Site>& gradients, const Objective<T>& objective,
                           const SliceMap<T>* slices, const Range<T>& range,
                           const BackwardRules& rules, bool recompute,
                           const Directions<T>* directions) {
  if (recompute && !(captures.empty() && edits.empty() && gradients.empty())) {
    fail("BAD_ARGUMENT", "recompute: a block with hooks would fire them twice; leave it out");
  }
  Tape tape;
  Graph<T> graph(ctx, &tape, slices, rules);
  Directions<T> there;
  if (directions)
    there = {to_device(ctx, directions->values), directions->count, directions->along};
  Taps<T> taps(ctx, model.spec, batch, captures, edits, gradients, range,
               directions ? &there : nullptr);
  Decoder<T> decoder(model, graph, batch, taps, nullptr);
  const auto rows = static_cast<int64_t>(objective.rows.size());
  const int64_t vocab = model.spec.vocab;
  check_rows(objective.rows, batch.rows(), "objective");
  check_tokens(objective.targets, vocab, "objective");
  if (range.stops() != (objective.kind == ObjectiveKind::residual)) {
    fail("BAD_ARGUMENT", "objective: kind residual is for runs that stop before a layer, which ",
         "have no logits; the others take cross-entropy or logits");
  }
  const bool of_residual = range.stops();
  const auto width = static_cast<int64_t>(rows ? objective.targets.size() / rows : 0);
  const auto weights = static_cast<int64_t>(objective.weights.size());
  if (of_residual && (rows == 0 || weights != rows * model.spec.d_model)) {
    fail("BAD_ARGUMENT", "objective: ", weights, " weights for ", rows, " rows of ",
         model.spec.d_model);
  }
  if (!of_residual && (rows == 0 || objective.targets.size() != objective.weights.size() ||
                       static_cast<int64_t>(objective.targets.size()) != rows * width ||
                       (objective.kind == ObjectiveKind::cross_entropy && width != 1))) {
    fail("BAD_ARGUMENT", "objective: ", rows, " rows, ", objective.targets.size(), " targets and ",
         objective.weights.size(), " weights do not fit together");
  }

  BackwardResult<T> result;
  if (of_residual) {
    weigh_residual(ctx, decoder.run({}, range), objective, result);
  } else {
    const Var<T> normed = decoder.run(objective.rows, range, recompute);
    taps.check_all_fired();
    weigh_readout(graph, model, normed, objective, result);
  }
  taps.check_all_fired();
  check_cancelled(ctx);
  tape.run_backward();
  result.captures = std::move(taps.captures);
  result.gradients = std::move(taps.gradients);
  return result;
}

#define INSTANTIATE(T)                                                                     \
  template void read_logits(Context&, const Model<T>&, Mat<const T>, const Readout&,       \
                            const ReadoutView<T>&);                                        \
  template ForwardResult<T> forward(Context&, const Model<T>&, const Batch&,               \
                                    const std::vector<Site>&, const std::vector<Edit<T>>&, \
                                    const Readout&, KvCache<T>*, const Range<T>&);         \
  template BackwardResult<T> backward(                                                     \
      Context&, const Model<T>&, const Batch&, const std::vector<Site>&,                   \
      const std::vector<Edit<T>>&, const std::vector<Site>&, const Objective<T>&,          \
      const SliceMap<T>*, const Range<T>&, const BackwardRules&, bool, const Directions<T>*);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace keyheads
