#include "model/load.h"

#include <algorithm>
#include <cstring>

#include "base/check.h"
#include "base/memory.h"
#include "base/parallel.h"
#include "ops/pack_stored.h"

namespace keyheads {
namespace {

// What a thread reads before it packs: stays in the second-level cache.
constexpr int64_t kPieceBytes = 512 << 10;

template <class T>
class Loader {
 public:
  Loader(Context& ctx, Files& files, const TensorSource& source, const Weight<T>& w)
      : ctx_(ctx),
        files_(files),
        file_(files.at(source.file)),
        source_(source),
        w_(w),
        dtype_(stored_type(source)),
        matrix_(source),
        rows_(source.count()) {}

  void load() {
    file_.fetch(source_.offset, matrix_.first * matrix_.second * dtype_.bytes);
    if (ctx_.device) return load_to_device(files_.staging(*ctx_.device));
    source_.transpose ? load_columns() : load_rows();
  }

 private:
  // Stored rows are the weight's rows: pieces of whole panels.
  void load_rows() {
    const int64_t line = w_.k * dtype_.bytes;
    const int64_t piece = std::max<int64_t>(1, kPieceBytes / (line * kPanel)) * kPanel;
    // pieces begin where panels of the weight do
    const int64_t first = source_.rows[0] / piece, last = (source_.rows[1] + piece - 1) / piece;
    parallel_for(ctx_, last - first, [&](int64_t i) {
      const int64_t begin = std::max((first + i) * piece, source_.rows[0]) - source_.rows[0];
      const int64_t end = std::min((first + i + 1) * piece, source_.rows[1]) - source_.rows[0];
      if (auto* buffer = scratch((end - begin) * line)) {
        read_rows(buffer, begin, end);
        pack_rows(buffer, begin, end);
      }
    });
  }
  void read_rows(char* buffer, int64_t begin, int64_t end) const {
    const int64_t line = w_.k * dtype_.bytes;
    for_runs(source_, begin, end, [&](int64_t n, int64_t count, int64_t index) {
      file_.read(source_.offset + index * line, count * line, buffer + (n - begin) * line);
    });
  }
  void pack_rows(const char* buffer, int64_t begin, int64_t end) const {
    const bool vector = w_.k == 1;
    pack(buffer, begin, end - begin, 0, w_.k, vector ? 1 : w_.k, vector ? w_.n : 1);
  }

  // Stored rows are the weight's columns: pieces of columns, and of those the rows of this slot.
  void load_columns() {
    const int64_t line = matrix_.second * dtype_.bytes;
    const int64_t piece = std::max<int64_t>(1, kPieceBytes / (2 * line)) * 2;
    parallel_for(ctx_, (w_.k + piece - 1) / piece, [&](int64_t i) {
      const int64_t col = i * piece, cols = std::min(piece, w_.k - col);
      if (auto* buffer = scratch(cols * line)) {
        file_.read(source_.offset + col * line, cols * line, buffer);
        pack_columns(buffer, col, cols);
      }
    });
  }
  void pack_columns(const char* buffer, int64_t col, int64_t cols) const {
    for_runs(source_, 0, rows_, [&](int64_t n, int64_t count, int64_t index) {
      pack(buffer + index * dtype_.bytes, n, count, col, cols, 1, matrix_.second);
    });
  }

  // A device packs one large piece at a time. All threads read the next one meanwhile.
  void load_to_device(Staging& staging) {
    const int64_t line = (source_.transpose ? matrix_.second : w_.k) * dtype_.bytes;
    const int64_t lines = source_.transpose ? w_.k : rows_;
    const int64_t piece = std::max<int64_t>(1, staging.piece() / (2 * line)) * 2;
    for (int64_t first = 0; first < lines; first += piece) {
      check_cancelled(ctx_);
      const int64_t last = std::min(lines, first + piece);
      staging.pass((last - first) * line,
                   [&](char* buffer) { read_lines(buffer, first, last, line); },
                   [&](const char* buffer) {
                     source_.transpose ? pack_columns(buffer, first, last - first)
                                       : pack_rows(buffer, first, last);
                   });
    }
  }
  void read_lines(char* buffer, int64_t first, int64_t last, int64_t line) const {
    const int64_t part = std::max<int64_t>(1, kPieceBytes / line);
    parallel_for(ctx_, (last - first + part - 1) / part, [&](int64_t i) {
      const int64_t begin = first + i * part, end = std::min(last, begin + part);
      char* to = buffer + (begin - first) * line;
      source_.transpose ? file_.read(source_.offset + begin * line, (end - begin) * line, to)
                        : read_rows(to, begin, end);
    });
  }

  // Null once the call is cancelled: what is left to do is then skipped.
  char* scratch(int64_t bytes) const {
    const bool stop = ctx_.cancelled && ctx_.cancelled->load(std::memory_order_relaxed);
    return stop ? nullptr : static_cast<char*>(thread_scratch(static_cast<size_t>(bytes)));
  }

  void pack(const char* data, int64_t row, int64_t rows, int64_t col, int64_t cols,
            int64_t row_step, int64_t col_step) const {
    ops::pack_stored(ctx_, ops::PackStored<T>{.w = w_,
                                              .data = data,
                                              .type = dtype_.type,
                                              .row_step = row_step,
                                              .col_step = col_step,
                                              .row0 = source_.rows[0] + row,
                                              .rows = rows,
                                              .col0 = col,
                                              .cols = cols});
  }

  Context& ctx_;
  Files& files_;
  const File& file_;
  const TensorSource& source_;
  const Weight<T>& w_;
  const StoredType& dtype_;
  StoredMatrix matrix_;
  int64_t rows_;
};

}  // namespace

template <class T>
void load_weight(Context& ctx, Files& files, const std::vector<TensorSource>& parts,
                 const Weight<T>& w) {
  w.visit([&](const auto& panels) {
    if (ctx.device || panels.n % kPanel == 0) return;
    auto* last = panels.panel(panels.count() - 1);  // its rows beyond n stay zero
    std::memset(static_cast<void*>(last), 0,
                static_cast<size_t>(panels.depth() * kPanel) * sizeof *last);
  });
  for (const TensorSource& part : parts) {
    Loader<T>(ctx, files, part, w).load();
    check_cancelled(ctx);
    files.at(part.file).check_unchanged();
  }
}

template void load_weight(Context&, Files&, const std::vector<TensorSource>&, const Weight<float>&);
template void load_weight(Context&, Files&, const std::vector<TensorSource>&,
                          const Weight<double>&);

}  // namespace keyheads
