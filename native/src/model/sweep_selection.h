// The part of a sweep's batch that a site selects, item by item.
#pragma once
#include "model/batch.h"
#include "model/spec.h"

namespace keyheads {

class Selected {
 public:
  Selected(const Site& site, const Batch& batch, const Spec& spec);

  // Rows of the selection before an item's first, and numbers; items + 1 of them.
  int64_t first_row(int64_t item) const { return rows_[item]; }
  int64_t first_number(int64_t item) const { return numbers_[item]; }
  int64_t rows_of(int64_t item) const { return rows_[item + 1] - rows_[item]; }
  int64_t size() const { return numbers_.back(); }
  int64_t heads() const { return heads_; }
  int64_t columns() const { return columns_; }  // 0 for patterns
  int64_t row_width() const { return heads_ * columns_; }

  // Which row of the selection a row of the batch is, or -1.
  int64_t find(int64_t row) const;
  // Position in its item of the selection's row.
  int64_t position(int64_t item, int64_t selected) const;

 private:
  const Site& site_;
  const Batch& batch_;
  int64_t heads_, columns_;
  std::vector<int64_t> rows_, numbers_;
};

}  // namespace keyheads
