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
// What is read before a device packs it.
constexpr int64_t kStagingBytes = 64 << 20;

struct Dtype {
  const char* name;
  ops::Stored type;
  int64_t bytes;
};
constexpr Dtype kDtypes[] = {{"F32", ops::Stored::f32, 4},
                             {"F64", ops::Stored::f64, 8},
                             {"F16", ops::Stored::f16, 2},
                             {"BF16", ops::Stored::bf16, 2}};

const Dtype& dtype_of(const TensorSource& s) {
  for (const Dtype& dtype : kDtypes) {
    if (s.dtype == dtype.name) return dtype;
  }
  fail("BAD_CHECKPOINT", "dtype ", s.dtype, " is not one of F32, F64, F16, BF16");
}

// A source as the matrix that its file holds, [first, second].
struct Matrix {
  explicit Matrix(const TensorSource& s)
      : first(s.shape.empty() ? 0 : s.shape[0]),
        second(s.shape.size() == 1   ? 1
               : s.shape.size() == 2 ? s.shape[1]
                                     : 0) {}
  int64_t first, second;
};

// The row or, transposed, the column of the stored matrix that is row n of the source's part.
int64_t stored_index(const TensorSource& s, int64_t n) {
  return s.start + n / s.length * s.stride + n % s.length;
}

// Calls f(n, count, index) for runs of the part's rows [begin, end) that are neighbours in the
// file.
template <class F>
void for_runs(const TensorSource& s, int64_t begin, int64_t end, const F& f) {
  for (int64_t n = begin; n < end;) {
    const int64_t index = stored_index(s, n);
    int64_t count = 1;
    while (n + count < end && stored_index(s, n + count) == index + count) {
      const int64_t block = (n + count) % s.length == 0 ? s.length : 1;
      count += std::min(block, end - n - count);
    }
    f(n, count, index);
    n += count;
  }
}

template <class T>
class Loader {
 public:
  Loader(Context& ctx, const File& file, const TensorSource& source, const Weight<T>& w)
      : ctx_(ctx),
        file_(file),
        source_(source),
        w_(w),
        dtype_(dtype_of(source)),
        matrix_(source),
        rows_(source.rows[1] - source.rows[0]) {}

  void load() {
    file_.fetch(source_.offset, matrix_.first * matrix_.second * dtype_.bytes);
    if (ctx_.device) return load_to_device();
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

  // A device packs one large piece at a time, which all threads read.
  void load_to_device() {
    const int64_t line = (source_.transpose ? matrix_.second : w_.k) * dtype_.bytes;
    const int64_t lines = source_.transpose ? w_.k : rows_;
    const int64_t piece = std::max<int64_t>(1, kStagingBytes / (2 * line)) * 2;
    const MemoryFrom host(host_memory());
    const auto staging =
        allocate(static_cast<size_t>(std::min(piece, lines) * line), Purpose::scratch);
    auto* const buffer = static_cast<char*>(staging.get());
    for (int64_t first = 0; first < lines; first += piece) {
      check_cancelled(ctx_);
      const int64_t last = std::min(lines, first + piece);
      const int64_t part = std::max<int64_t>(1, kPieceBytes / line);
      parallel_for(ctx_, (last - first + part - 1) / part, [&](int64_t i) {
        const int64_t begin = first + i * part, end = std::min(last, begin + part);
        char* to = buffer + (begin - first) * line;
        source_.transpose ? file_.read(source_.offset + begin * line, (end - begin) * line, to)
                          : read_rows(to, begin, end);
      });
      source_.transpose ? pack_columns(buffer, first, last - first)
                        : pack_rows(buffer, first, last);
    }
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
  const File& file_;
  const TensorSource& source_;
  const Weight<T>& w_;
  const Dtype& dtype_;
  Matrix matrix_;
  int64_t rows_;
};

}  // namespace

const File& Files::at(const std::string& path) {
  std::unique_ptr<File>& file = open_[path];
  if (!file) file = std::make_unique<File>(path);
  return *file;
}

void check_sources(Files& files, const SlotRef& ref, int64_t n, int64_t k,
                   const std::vector<const TensorSource*>& parts) {
  int64_t row = 0;
  for (const TensorSource* part : parts) {
    const TensorSource& s = *part;
    const auto [first_row, last_row] = s.rows;
    if (first_row != row || last_row <= first_row || last_row > n) {
      fail("BAD_CHECKPOINT", describe(ref), ": rows ", first_row, " to ", last_row,
           " were given after the first ", row, " of ", n);
    }
    const Matrix matrix(s);
    const int64_t out = s.transpose ? matrix.second : matrix.first;
    const int64_t in = s.transpose ? matrix.first : matrix.second;
    const int64_t last = s.length < 1 ? out : stored_index(s, last_row - first_row - 1);
    if (s.start < 0 || s.stride < 0 || last >= out || in != k) {
      fail("BAD_CHECKPOINT", s.file, ": ", describe(ref), " wants [", last_row - first_row, ", ", k,
           "] but rows ", s.start, " to ", last, " of a tensor [", out, ", ", in, "] were given");
    }
    files.at(s.file).check_range(s.offset, matrix.first * matrix.second * dtype_of(s).bytes);
    row = last_row;
  }
  if (row != n) {
    fail("BAD_CHECKPOINT", describe(ref), " has ", n, " rows; only ", row, " were given");
  }
}

template <class T>
void load_weight(Context& ctx, Files& files, const std::vector<const TensorSource*>& parts,
                 const Weight<T>& w) {
  w.visit([&](const auto& panels) {
    if (ctx.device || panels.n % kPanel == 0) return;
    auto* last = panels.panel(panels.count() - 1);  // its rows beyond n stay zero
    std::memset(static_cast<void*>(last), 0,
                static_cast<size_t>(panels.depth() * kPanel) * sizeof *last);
  });
  for (const TensorSource* part : parts) {
    Loader<T>(ctx, files.at(part->file), *part, w).load();
    check_cancelled(ctx);
  }
}

template void load_weight(Context&, Files&, const std::vector<const TensorSource*>&,
                          const Weight<float>&);
template void load_weight(Context&, Files&, const std::vector<const TensorSource*>&,
                          const Weight<double>&);

}  // namespace keyheads
