// What the base run of some items leaves behind for their variants.
#pragma once
#include "model/model.h"
#include "model/sweep_plan.h"

namespace keyheads {

// Items [first, last) of a request, packed by themselves.
struct SweepItems {
  SweepItems(const Batch& whole, int64_t first, int64_t last);

  Batch batch;
  int64_t first, last;
  int64_t first_row;  // of the request's batch

  int64_t count() const { return last - first; }
};

template <class T>
struct SweepBase {
  SweepBase(Context& ctx, const Model<T>& model, const SweepRequest<T>& request,
            const SweepPlanner<T>& planner, const SweepItems& items);

  // Row of the matrices below that belongs to a position of an item of the request.
  int32_t row(int64_t item, int32_t position) const;

  // Row of an item's first key and value.
  int64_t first_key(int64_t item) const { return items_.batch.offsets[item - items_.first]; }

  // By layer, empty where no variant needs it. Rows: the last of every item where only these can
  // change, else all; keys, as attention uses them, and values always have all.
  std::vector<Tensor<T>> resid_pre, z, attn_out, neurons, mlp_raw, mlp_out, k, v;
  Tensor<T> last;  // the last resid_post
  ReadoutResult<T> readout;
  std::vector<Tensor<T>> captures;  // those of the request, of these items

 private:
  using Wanted = std::vector<std::pair<Site, Tensor<T>*>>;
  void want_stream(Wanted& wanted, const SweepPlanner<T>& planner, Freeze freeze);
  void place_keys(Context& ctx, const Model<T>& model);

  const SweepItems& items_;
  int64_t layers_;
  bool ends_;
  bool dense_;
};

// Numbers that a base run keeps of one token.
template <class T>
int64_t kept_numbers(const Spec& spec, const SweepRequest<T>& request);

extern template struct SweepBase<float>;
extern template struct SweepBase<double>;

}  // namespace keyheads
