// Variants of one base run, layer by layer: their rows are rows of one matrix, which a variant
// joins at its first edited layer.
#pragma once
#include <functional>

#include "model/sweep_base.h"
#include "model/sweep_phase.h"

namespace keyheads {

template <class T>
class SweepRun {
 public:
  SweepRun(Context& ctx, const Model<T>& model, const SweepRequest<T>& request,
           const SweepPlanner<T>& planner, const SweepBase<T>& base, SweepResult<T>& result)
      : ctx_(ctx),
        model_(model),
        spec_(model.spec),
        request_(request),
        planner_(planner),
        base_(base),
        result_(result),
        graph_(ctx, nullptr, nullptr) {}

  // Plans in the order of their first layers. `progress` is called with the share that is done.
  void run(const std::vector<VariantPlan>& plans, const std::function<void(double)>& progress);

 private:
  void join(int64_t layer);
  Tensor<T> entering(const SweepRows& rows, int64_t layer);
  Tensor<T> of_base(const Tensor<T>& base, const SweepRows& rows) const;

  void compute(int64_t layer);
  Var<T> attend(int64_t layer, const Var<T>& x, SweepPhase<T>& phase);
  Var<T> attention_frozen(int64_t layer, const SweepRows& rows);
  Var<T> mlp(int64_t layer, const Var<T>& x, const SweepRows& rows, SweepPhase<T>& phase);
  Var<T> mlp_frozen(int64_t layer, const SweepRows& rows);
  // The base's value of every row, computed anew where this layer's hooks in the range are asked
  // for.
  template <class Compute>
  Var<T> frozen(const Tensor<T>& base, const SweepRows& rows, const HookRange& range,
                const Compute& compute);
  SweepRows touched(const SweepRows& rows, const HookRange& range,
                    std::vector<int32_t>& places) const;

  void finish();
  void read(const Var<T>& normed, const SweepRows& rows);

  Context& ctx_;
  const Model<T>& model_;
  const Spec& spec_;
  const SweepRequest<T>& request_;
  const SweepPlanner<T>& planner_;
  const SweepBase<T>& base_;
  SweepResult<T>& result_;
  Graph<T> graph_;

  const std::vector<VariantPlan>* plans_ = nullptr;
  size_t joined_ = 0;
  SweepRows rows_;
  Var<T> x_;
};

extern template class SweepRun<float>;
extern template class SweepRun<double>;

}  // namespace keyheads
