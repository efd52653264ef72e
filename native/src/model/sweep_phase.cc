#include "model/sweep_phase.h"

#include <algorithm>

namespace keyheads {
namespace {

template <class T>
bool needs_value(EditOp op) {
  return op == EditOp::set || op == EditOp::add || op == EditOp::interpolate;
}

}  // namespace

template <class T>
SweepPhase<T>::SweepPhase(const Model<T>& model, Graph<T>& graph, const SweepRequest<T>& request,
                          const SweepPlanner<T>& planner, const SweepRows& rows,
                          const HookRange& range)
    : ctx_(graph.context()),
      request_(request),
      planner_(planner),
      rows_(rows),
      range_(range),
      batch_{std::vector<int32_t>(static_cast<size_t>(rows.count())), rows.offsets},
      taps([&]() -> Taps<T> {
        for (size_t first = 0, last; first < rows_.pieces.size(); first = last) {
          last = first;
          while (last < rows_.pieces.size() &&
                 rows_.pieces[last].plan == rows_.pieces[first].plan) {
            ++last;
          }
          add_edits(first, last);
        }
        for (size_t i = 0; i < request_.captures.size(); ++i) {
          if (range_.contains(request_.captures[i])) add_capture(i);
        }
        return Taps<T>(graph.context(), model.spec, batch_, sites_, edits_, no_gradients_);
      }()),
      block(model, graph, taps) {}

// Of one variant, whose pieces these are.
template <class T>
void SweepPhase<T>::add_edits(size_t first, size_t last) {
  for (const int32_t e : request_.variants[rows_.pieces[first].variant()]) {
    const SweepEdit<T>& edit = request_.edits[e];
    if (range_.contains(edit.site)) add_edit(edit, planner_.edited(e), first, last);
  }
}

template <class T>
void SweepPhase<T>::add_edit(const SweepEdit<T>& edit, const Selected& where, size_t first,
                             size_t last) {
  Edit<T> out;
  out.site = edit.site;
  out.site.all_rows = false;
  out.site.rows.clear();
  out.op = edit.op;
  out.factor = edit.factor;
  const bool pattern = where.columns() == 0;
  const T* values =
      needs_value<T>(edit.op) ? request_.values[edit.value].data() + edit.offset : nullptr;
  const bool one = edit.column == 0 && (pattern || (edit.row == 0 && edit.head == 0));
  if (values && one) out.value = {values[0]};
  const auto add_row = [&](int64_t row) {
    for (int64_t h = 0; h < where.heads(); ++h) {
      const T* from = values + row * edit.row + h * edit.head;
      for (int64_t c = 0; c < where.columns(); ++c) out.value.push_back(from[c * edit.column]);
    }
  };
  for (size_t p = first; p < last; ++p) {
    const Piece& piece = rows_.pieces[p];
    const int64_t start = request_.batch.offsets[piece.item()];
    for (size_t j = 0; j < piece.positions.size(); ++j) {
      const int64_t row = where.find(start + piece.positions[j]);
      if (row < 0) continue;
      out.site.rows.push_back(rows_.offsets[p] + static_cast<int32_t>(j));
      // Where all rows are alike, one of them does.
      const bool add = values && !one && !pattern && (edit.row != 0 || out.value.empty());
      if (add) add_row(row);
    }
    if (!values || one || !pattern) continue;
    for (int64_t i = where.first_number(piece.item()); i < where.first_number(piece.item() + 1);
         ++i) {
      out.value.push_back(values[i * edit.column]);
    }
  }
  if (out.site.rows.empty()) return;
  if (out.site.hook >= Hook::attn_in && out.site.hook <= Hook::v_input) {
    input_edits_.push_back(out);
    if (!planner_.captures_in(range_.layer, Hook::attn_in, Hook::v_input)) return;
  }
  edits_.push_back(std::move(out));
}

template <class T>
void SweepPhase<T>::add_capture(size_t index) {
  const Selected& where = planner_.captured(static_cast<int64_t>(index));
  Site site = request_.captures[index];
  site.all_rows = false;
  site.rows.clear();
  Captured captured{index, {}};
  for (size_t p = 0; p < rows_.pieces.size(); ++p) {
    const Piece& piece = rows_.pieces[p];
    const int64_t start = request_.batch.offsets[piece.item()];
    for (size_t j = 0; j < piece.positions.size(); ++j) {
      const int64_t row = where.find(start + piece.positions[j]);
      if (row < 0) continue;
      site.rows.push_back(rows_.offsets[p] + static_cast<int32_t>(j));
      captured.targets.push_back({piece.variant(), row});
    }
  }
  if (site.rows.empty()) return;
  sites_.push_back(std::move(site));
  captured_.push_back(std::move(captured));
}

template <class T>
void SweepPhase<T>::store(SweepResult<T>& result) const {
  taps.check_all_fired();
  if (ctx_.planning) return;
  std::vector<Tensor<T>> captures = taps.captures;
  to_host_all(ctx_, captures);
  for (size_t i = 0; i < captured_.size(); ++i) {
    const bool pattern = planner_.captured(static_cast<int64_t>(captured_[i].index)).columns() == 0;
    pattern ? store_patterns(captured_[i], captures[i], result)
            : store_rows(captured_[i], captures[i], result);
  }
}

template <class T>
void SweepPhase<T>::store_rows(const Captured& captured, const Tensor<T>& from,
                               SweepResult<T>& result) const {
  const Selected& where = planner_.captured(static_cast<int64_t>(captured.index));
  T* to = result.captures[captured.index].data();
  const T* row = from.data();
  for (const auto& [variant, target] : captured.targets) {
    std::copy_n(row, where.row_width(), to + variant * where.size() + target * where.row_width());
    row += where.row_width();
  }
}

// Of every piece [head, its queries, key]; of an item [head, its chosen queries, key].
template <class T>
void SweepPhase<T>::store_patterns(const Captured& captured, const Tensor<T>& from,
                                   SweepResult<T>& result) const {
  const Selected& where = planner_.captured(static_cast<int64_t>(captured.index));
  T* to = result.captures[captured.index].data();
  const T* row = from.data();
  size_t next = 0;
  for (const Piece& piece : rows_.pieces) {
    const int64_t start = request_.batch.offsets[piece.item()];
    int64_t queries = 0;
    for (const int32_t p : piece.positions) queries += where.find(start + p) >= 0;
    const int64_t keys = request_.batch.length(piece.item());
    T* item = to + piece.variant() * where.size() + where.first_number(piece.item());
    for (int64_t h = 0; h < where.heads(); ++h) {
      for (int64_t q = 0; q < queries; ++q) {
        const int64_t target = captured.targets[next + q].second - where.first_row(piece.item());
        std::copy_n(row, keys, item + (h * where.rows_of(piece.item()) + target) * keys);
        row += keys;
      }
    }
    next += static_cast<size_t>(queries);
  }
}

template class SweepPhase<float>;
template class SweepPhase<double>;

}  // namespace keyheads
