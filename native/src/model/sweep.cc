#include "model/sweep.h"

#include <algorithm>
#include <cmath>
#include <iterator>

#include "base/check.h"
#include "model/sweep_run.h"

namespace keyheads {
namespace {

template <class T>
class Sweep {
 public:
  Sweep(Context& ctx, const Model<T>& model, const SweepRequest<T>& request)
      : ctx_(ctx), quiet_(ctx), model_(model), request_(request), planner_(model.spec, request) {
    quiet_.progress = nullptr;
    budget_ = std::max<int64_t>(1, request.work_bytes / static_cast<int64_t>(2 * sizeof(T)));
  }

  SweepResult<T> run() {
    const int64_t items = request_.batch.items();
    const int64_t variants = std::ssize(request_.variants);
    make_room(items, variants);
    for (int64_t first = 0; first < items;) {
      const int64_t last = items_from(first);
      run_items({request_.batch, first, last});
      first = last;
      report(first, 0);
    }
    return std::move(result_);
  }

 private:
  // Results are the host's, wherever the run is.
  void make_room(int64_t items, int64_t variants) {
    const MemoryFrom host(host_memory());
    prepare(result_.base, items);
    prepare(result_.variants, variants * items);
    for (size_t c = 0; c < request_.captures.size(); ++c) {
      const int64_t size = planner_.captured(static_cast<int64_t>(c)).size();
      result_.base_captures.emplace_back(1, size);
      result_.captures.emplace_back(variants, size);
    }
  }

  void prepare(SweepReadout<T>& out, int64_t rows) {
    const Readout& readout = request_.readout;
    const int64_t items = request_.batch.items();
    const int64_t width = logits_width(readout, items, model_.spec.vocab);
    if (width > 0) out.logits = Tensor<T>(rows, width);
    if (ctx_.planning) {
      if (ctx_.device) return;
      const auto size = static_cast<int64_t>(sizeof(T));
      return MemoryPlan::count(rows * ((readout.argmax ? 4 : 0) + (readout.logsumexp ? size : 0)));
    }
    if (readout.argmax) out.argmax.resize(static_cast<size_t>(rows));
    if (readout.logsumexp) out.logsumexp.resize(static_cast<size_t>(rows));
  }

  // As many items as their base run may take; all where a mean couples them.
  int64_t items_from(int64_t first) const {
    const int64_t items = request_.batch.items(), each = kept_numbers<T>(model_.spec, request_);
    if (planner_.couples_items()) return items;
    int64_t last = first, numbers = 0;
    while (last < items && (last == first || numbers < budget_)) {
      numbers += request_.batch.length(last++) * each;
    }
    return last;
  }

  void run_items(const SweepItems& items) {
    check_cancelled(ctx_);
    const SweepBase<T> base(quiet_, model_, request_, planner_, items);
    store_base(base, items);
    for (const int64_t variant : planner_.unchanged()) {
      read_base({variant, 0, false, {}, 0}, items);
    }
    const Spec& s = model_.spec;
    const int64_t row_numbers = 6 * s.d_model + 3 * s.d_mlp + 2 * s.q_width() + 2 * s.kv_width();
    SweepRun<T> run(quiet_, model_, request_, planner_, base, result_);
    const std::vector<int64_t>& order = planner_.order();
    for (size_t first = 0, last = 0; first < order.size(); first = last) {
      std::vector<VariantPlan> plans;
      int64_t numbers = 0;
      while (last < order.size() && (plans.empty() || numbers < budget_)) {
        VariantPlan plan = planner_.plan(order[last++], items.first, items.last);
        read_base(plan, items);
        numbers += plan.rows * row_numbers;
        if (plan.rows > 0) plans.push_back(std::move(plan));
      }
      if (plans.empty()) continue;
      run.run(plans, [&](double share) {
        const double done = static_cast<double>(first) + share * static_cast<double>(last - first);
        report(items.first,
               static_cast<double>(items.count()) * done / static_cast<double>(order.size()));
      });
    }
  }

  // In thousandths of an item.
  void report(int64_t items, double more) const {
    if (!ctx_.progress) return;
    constexpr int64_t kParts = 1000;
    ctx_.progress(items * kParts + std::llround(more * kParts), request_.batch.items() * kParts);
  }

  void store_base(const SweepBase<T>& base, const SweepItems& items) {
    if (ctx_.planning) return;
    const int64_t variants = std::ssize(request_.variants);
    const ReadoutResult<T>& from = base.readout;
    std::copy(from.logits.begin(), from.logits.end(),
              result_.base.logits.data() + items.first * result_.base.logits.cols());
    std::copy(from.argmax.begin(), from.argmax.end(), result_.base.argmax.begin() + items.first);
    std::copy(from.logsumexp.begin(), from.logsumexp.end(),
              result_.base.logsumexp.begin() + items.first);
    std::vector<Tensor<T>> captures = base.captures;
    to_host_all(ctx_, captures);
    for (size_t c = 0; c < captures.size(); ++c) {
      const Selected& where = planner_.captured(static_cast<int64_t>(c));
      const Tensor<T>& from = captures[c];
      const int64_t start = where.first_number(items.first);
      std::copy_n(from.data(), from.size(), result_.base_captures[c].data() + start);
      for (int64_t v = 0; v < variants; ++v) {
        std::copy_n(from.data(), from.size(), result_.captures[c].m.row(v) + start);
      }
    }
  }

  // What is not computed reads as in the base run.
  void read_base(int64_t variant, int64_t item) {
    const int64_t to = variant * request_.batch.items() + item;
    const SweepReadout<T>& from = result_.base;
    SweepReadout<T>& out = result_.variants;
    if (from.logits) std::copy_n(from.logits.m.row(item), from.logits.cols(), out.logits.m.row(to));
    if (!from.argmax.empty()) out.argmax[to] = from.argmax[item];
    if (!from.logsumexp.empty()) out.logsumexp[to] = from.logsumexp[item];
  }
  void read_base(const VariantPlan& plan, const SweepItems& items) {
    if (ctx_.planning || !planner_.reads_logits()) return;
    auto next = plan.items.begin();
    for (int64_t item = items.first; item < items.last; ++item) {
      const bool planned = next != plan.items.end() && next->item == item;
      const int64_t end = request_.batch.length(item) - 1;
      if (!planned || next->read.empty() || next->read.back() != end) read_base(plan.variant, item);
      if (planned) ++next;
    }
  }

  Context& ctx_;
  Context quiet_;
  const Model<T>& model_;
  const SweepRequest<T>& request_;
  const SweepPlanner<T> planner_;
  int64_t budget_;  // numbers: once for the base run, once for the rows of variants
  SweepResult<T> result_;
};

}  // namespace

template <class T>
SweepResult<T> sweep(Context& ctx, const Model<T>& model, const SweepRequest<T>& request) {
  return Sweep<T>(ctx, model, request).run();
}

template SweepResult<float> sweep(Context&, const Model<float>&, const SweepRequest<float>&);
template SweepResult<double> sweep(Context&, const Model<double>&, const SweepRequest<double>&);

}  // namespace keyheads
