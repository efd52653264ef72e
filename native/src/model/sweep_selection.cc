#include "model/sweep_selection.h"

#include <algorithm>
#include <iterator>

#include "model/tap.h"

namespace keyheads {

Selected::Selected(const Site& site, const Batch& batch, const Spec& spec)
    : site_(site), batch_(batch) {
  const HookInfo& info = info_of(site.hook);
  heads_ = site.heads.empty() ? head_count(info, spec) : std::ssize(site.heads);
  columns_ = site.columns.empty() ? width_of(info, spec) : std::ssize(site.columns);
  rows_.push_back(0);
  numbers_.push_back(0);
  for (int64_t item = 0; item < batch.items(); ++item) {
    const int64_t end = batch.offsets[item + 1];
    const int64_t rows = site.all_rows ? end
                                       : std::lower_bound(site.rows.begin(), site.rows.end(), end) -
                                             site.rows.begin();
    const int64_t width = info.rows == Rows::pattern ? batch.length(item) : columns_;
    numbers_.push_back(numbers_.back() + (rows - rows_.back()) * heads_ * width);
    rows_.push_back(rows);
  }
}

int64_t Selected::find(int64_t row) const {
  if (site_.all_rows) return row;
  const auto found = std::lower_bound(site_.rows.begin(), site_.rows.end(), row);
  return found != site_.rows.end() && *found == row ? found - site_.rows.begin() : -1;
}

int64_t Selected::position(int64_t item, int64_t selected) const {
  return (site_.all_rows ? selected : site_.rows[selected]) - batch_.offsets[item];
}

}  // namespace keyheads
