// Runs one op's cases. A definition D has
//   name, tolerance (float against double, relative to the tensor's size)
//   std::vector<Shape> shapes()
//   template <class T> void declare(const Shape&, Buffers<T>&)
//   template <class T> void forward(Context&, const Shape&, Buffers<T>&)
// and may have
//   template <class T> void backward(Context&, const Shape&, Buffers<T>&)
//   double tolerance_on(Isa)                           the tolerance, where it is not the same
//   double tolerance_on_device()                       the same for a device
//   std::vector<Shape> device_shapes()                 more of them, for a device alone
//   std::vector<double> bounds(const Shape&, Buffers<double>& exact, name)
//                                                      instead: the error that each element of a
//                                                      float output may have, row by row;
//                                                      empty where the tolerance says
//   bool smooth(const Shape&, Buffers<double>& exact, int64_t row, double step)
//                                                      whether the op is differentiable where its
//                                                      inputs of that row change by up to step
//   void reference(const Shape&, Buffers<double>&)     the outputs, by the plain formula
//   void each(Report&, Isa, const Shape&)              whatever else must hold of a shape
//   void each_on(Report&, Context&, const Shape&)      and holds of a device too
//   void extra(Report&)                                and apart from the shapes
//   void extra_on(Report&, Context&)                   and holds of a device too
//   Shape random_shape(Random&)                        for --fuzz
//   void perf(const Perf&)
// With --device a case is run there in float, against double on the CPU, twice for equal bits, and
// once more with rows that can be read in vectors, for equal bits where the case has a member
// `any_alignment`.
// Every case is run for each instruction set: double against the reference, float against double,
// the double gradient against central differences, equal bits for 1, 2 and 3 threads.
#pragma once
#include <algorithm>
#include <cstdio>
#include <type_traits>

#include "base/cpu.h"
#include "buffers.h"
#include "report.h"

namespace keyheads::test {

using Shape = std::vector<int64_t>;

template <class D>
concept HasBackward = requires(D d, Context& ctx, const Shape& s, Buffers<double>& b) {
  d.backward(ctx, s, b);
};
template <class D>
concept HasReference = requires(D d, const Shape& s, Buffers<double>& b) {
  d.reference(s, b);
};

// Root mean square of what is finite in a tensor; 1 of nothing.
inline double size_of(Field<double>& f) {
  double sum = 0;
  int64_t count = 0;
  for (int64_t r = 0; r < f.rows; ++r) {
    for (int64_t c = 0; c < f.cols; ++c) {
      if (!std::isfinite(f.at(r, c))) continue;
      sum += f.at(r, c) * f.at(r, c);
      ++count;
    }
  }
  return count == 0 ? 1 : std::sqrt(sum / static_cast<double>(count));
}

// While it lives, tensors are made for a device, on which `ctx` runs.
struct OnDevice {
  OnDevice(Device& device, Isa isa) : ctx(context(isa, 1)) {
    ctx.device = &device;
    device_of_tensors = &device;
  }
  ~OnDevice() { device_of_tensors = nullptr; }
  OnDevice(const OnDevice&) = delete;
  OnDevice& operator=(const OnDevice&) = delete;
  mutable Context ctx;
};

template <class D>
class OpCase {
 public:
  OpCase(Report& report, const Shape& shape, Isa isa) : report_(report), shape_(shape), isa_(isa) {
    where_ = isa_name(isa);
    for (size_t i = 0; i < shape.size(); ++i) {
      where_ += (i == 0 ? " " : "x") + std::to_string(shape[i]);
    }
  }

  // `reference` holds the outputs by the plain formula, where the op has one.
  void run(Buffers<double>& reference) {
    report_.count_case();
    Buffers<double> exact = call<double>(1);
    Buffers<float> rounded = call<float>(1);
    for (const std::string& touched : {exact.touched(), rounded.touched()}) {
      if (!touched.empty()) report_.fail(where_ + ": the op wrote to " + touched);
    }
    if constexpr (HasReference<D>) {
      compare("double against the formula", exact, reference, 1e-11,
              {Role::out, Role::saved, Role::inout});
    }
    compare("float against double", rounded, exact, tolerance(),
            {Role::out, Role::saved, Role::inout, Role::sets, Role::adds});
    for (const int threads : {2, 3}) {
      same_bits("double", threads, exact, call<double>(threads));
      same_bits("float", threads, rounded, call<float>(threads));
    }
    if constexpr (HasBackward<D>) check_gradients(exact);
  }

  void run_on(Device& device) {
    report_.count_case();
    where_ = "device" + where_.substr(std::min(where_.size(), where_.find(' ')));
    Buffers<double> exact = call<double>(1);
    Buffers<float> got = call_on(device), again = call_on(device);
    if (!got.touched().empty()) report_.fail(where_ + ": the op wrote to " + got.touched());
    double allowed = tolerance();
    if constexpr (requires { d_.tolerance_on_device(); }) allowed = d_.tolerance_on_device();
    compare("device against double", got, exact, allowed,
            {Role::out, Role::saved, Role::inout, Role::sets, Role::adds});
    same_bits("device, called again,", 1, got, std::move(again));
    if constexpr (requires(Context & ctx) { d_.each_on(report_, ctx, shape_); }) {
      const OnDevice on(device, isa_);
      d_.each_on(report_, on.ctx, shape_);
    }
    aligned_tensors = true;
    Buffers<float> aligned = call_on(device);
    aligned_tensors = false;
    if (!aligned.touched().empty()) report_.fail(where_ + ": the op wrote to " + aligned.touched());
    compare("device, aligned, against double", aligned, exact, allowed,
            {Role::out, Role::saved, Role::inout, Role::sets, Role::adds});
    if constexpr (requires { D::any_alignment; }) {
      same_elements("device, aligned,", got, aligned);
    }
  }

 private:
  Buffers<float> call_on(Device& device) {
    const OnDevice on(device, isa_);
    Buffers<float> b = fresh<float>();
    d_.forward(on.ctx, shape_, b);
    if constexpr (HasBackward<D>) d_.backward(on.ctx, shape_, b);
    device.synchronize();
    for (auto& [name, f] : b.fields()) f.collect();
    return b;
  }

  template <class T>
  Buffers<T> fresh() {
    Buffers<T> b;
    d_.declare(shape_, b);
    return b;
  }

  template <class T>
  Buffers<T> call(int threads) {
    Buffers<T> b = fresh<T>();
    Context ctx = context(isa_, threads);
    d_.forward(ctx, shape_, b);
    if constexpr (HasBackward<D>) d_.backward(ctx, shape_, b);
    return b;
  }

  double tolerance() const {
    if constexpr (requires { d_.tolerance_on(isa_); }) {
      return d_.tolerance_on(isa_);
    } else if constexpr (requires { d_.tolerance; }) {
      return d_.tolerance;
    } else {
      return 0;  // `bounds` says
    }
  }

  template <class T>
  void compare(const char* what, Buffers<T>& got, Buffers<double>& want, double tolerance,
               const std::vector<Role>& roles) {
    for (auto& [name, w] : want.fields()) {
      if (std::find(roles.begin(), roles.end(), w.role) == roles.end()) continue;
      Field<T>& g = got.field(name);
      const double size = size_of(w);
      const std::vector<double> bound = bounds<T>(want, name);
      for (int64_t r = 0; r < w.rows; ++r) {
        for (int64_t c = 0; c < w.cols; ++c) {
          const double x = w.at(r, c);
          const double allowed = bound.empty() ? tolerance * (std::abs(x) + size)
                                               : bound[static_cast<size_t>(r * w.cols + c)];
          check(what, name, r, c, static_cast<double>(g.at(r, c)), x, allowed);
        }
      }
    }
  }

  template <class T>
  std::vector<double> bounds(Buffers<double>& exact, const std::string& name) {
    if constexpr (std::is_same_v<T, float> && requires { d_.bounds(shape_, exact, name); }) {
      return d_.bounds(shape_, exact, name);
    } else {
      return {};
    }
  }

  void check(const char* what, const std::string& name, int64_t r, int64_t c, double got,
             double want, double allowed) {
    const double share = got == want ? 0 : std::abs(got - want) / allowed;
    if (share <= report_.worst()) return;
    report_.compare(share, [&] {
      char text[256];
      std::snprintf(text, sizeof text, "%s %s %s[%lld, %lld]: %.9g, expected %.9g +- %.2g",
                    where_.c_str(), what, name.c_str(), static_cast<long long>(r),
                    static_cast<long long>(c), got, want, allowed);
      return std::string(text);
    });
  }

  template <class T>
  void same_bits(const char* dtype, int threads, Buffers<T>& one, Buffers<T> many) {
    for (auto& [name, f] : one.fields()) {
      const Field<T>& g = many.field(name);
      if (std::memcmp(f.memory.data(), g.memory.data(), f.memory.size() * sizeof(T)) != 0) {
        report_.fail(where_ + " " + dtype + " " + name + ": other bits with " +
                     std::to_string(threads) + " threads than with 1");
      }
    }
  }

  // the same of memory laid out otherwise
  void same_elements(const char* what, Buffers<float>& one, Buffers<float>& other) {
    for (auto& [name, f] : one.fields()) {
      Field<float>& g = other.field(name);
      for (int64_t r = 0; r < f.rows; ++r) {
        for (int64_t c = 0; c < f.cols; ++c) {
          const float a = f.at(r, c), b = g.at(r, c);
          if (std::memcmp(&a, &b, sizeof a) == 0) continue;
          return report_.fail(where_ + " " + what + " " + name + ": other bits");
        }
      }
    }
  }

  // sum of outputs times their cotangents
  double objective(Buffers<double>& b) {
    Context ctx = context(isa_, 1);
    d_.forward(ctx, shape_, b);
    double sum = 0;
    for (auto& [name, f] : b.fields()) {
      if (f.role != Role::out) continue;
      Field<double>& cotangent = b.field("d" + name);
      for (int64_t r = 0; r < f.rows; ++r) {
        for (int64_t c = 0; c < f.cols; ++c) {
          if (std::isfinite(f.at(r, c))) sum += f.at(r, c) * cotangent.at(r, c);
        }
      }
    }
    return sum;
  }

  void check_gradients(Buffers<double>& exact) {
    size_t size_of_all = 0;
    for (auto& [name, f] : exact.fields()) size_of_all += f.memory.size();
    const int elements = size_of_all < 20000 ? 24 : 4;  // of every tensor
    for (auto& [gradient_name, g] : exact.fields()) {
      if (g.role != Role::sets && g.role != Role::adds) continue;
      if (g.rows == 0 || g.cols == 0) continue;
      const std::string name = gradient_name.substr(1);
      const double size = size_of(g);
      Random random(name + where_);
      Buffers<double> b = fresh<double>();
      Field<double>& x = b.field(name);
      for (int i = 0; i < elements; ++i) {
        const int64_t r = random.below(g.rows), c = random.below(g.cols);
        double& element = x.at(g.row0 + r, g.col0 + c);
        const double at = element;
        if (!std::isfinite(at)) continue;
        constexpr double kStep = 1e-4;  // fourth order: error about step^4 and 1e-15 / step
        if constexpr (requires { d_.smooth(shape_, exact, r, kStep); }) {
          if (!d_.smooth(shape_, exact, r, 2 * kStep)) continue;
        }
        double slope = 0;
        for (const auto& [shift, factor] : {std::pair(1, 8.0), {-1, -8.0}, {2, -1.0}, {-2, 1.0}}) {
          element = at + shift * kStep;
          slope += factor * objective(b);
        }
        element = at;
        const size_t offset = static_cast<size_t>(&g.at(r, c) - g.memory.data());
        const double start = g.role == Role::adds ? g.start[offset] : 0;
        slope /= 12 * kStep;
        check("gradient against differences", gradient_name, r, c, g.at(r, c) - start, slope,
              1e-7 * (std::abs(slope) + size));
      }
    }
  }

  D d_;
  Report& report_;
  Shape shape_;
  Isa isa_;
  std::string where_;
};

template <class D>
void run_case(Report& report, const Shape& shape) {
  D d;
  Buffers<double> reference;
  if constexpr (HasReference<D>) {
    d.declare(shape, reference);
    d.reference(shape, reference);
  }
  for (const Isa isa : supported_isas()) {
    OpCase<D>(report, shape, isa).run(reference);
    if constexpr (requires { d.each(report, isa, shape); }) d.each(report, isa, shape);
    if constexpr (requires(Context & ctx) { d.each_on(report, ctx, shape); }) {
      Context ctx = context(isa, 2);
      d.each_on(report, ctx, shape);
    }
  }
}

template <class D>
bool register_op() {
  D d;
  OpTest test{.name = d.name, .test = {}, .perf = {}};
  test.test = [](Report& report) {
    D d;
    for (const Shape& shape : d.shapes()) run_case<D>(report, shape);
    if constexpr (requires { d.extra(report); }) d.extra(report);
    if constexpr (requires(Context & ctx) { d.extra_on(report, ctx); }) {
      for (const Isa isa : supported_isas()) {
        Context ctx = context(isa, 1);
        d.extra_on(report, ctx);
      }
    }
  };
  test.on_device = [](Report& report, Device& device) {
    D d;
    for (const Shape& shape : d.shapes()) OpCase<D>(report, shape, detect_isa()).run_on(device);
    if constexpr (requires { d.device_shapes(); }) {
      for (const Shape& s : d.device_shapes()) OpCase<D>(report, s, detect_isa()).run_on(device);
    }
    if constexpr (requires(Context & ctx) { d.extra_on(report, ctx); }) {
      const OnDevice on(device, detect_isa());
      d.extra_on(report, on.ctx);
    }
  };
  if constexpr (requires(Random & random) { d.random_shape(random); }) {
    test.fuzz = [](Report& report, Random& random, Device* device) {
      const Shape shape = D().random_shape(random);
      if (!device) return run_case<D>(report, shape);
      OpCase<D>(report, shape, detect_isa()).run_on(*device);
    };
  }
  if constexpr (requires(const Perf& perf) { d.perf(perf); }) {
    test.perf = [](const Perf& perf) { D().perf(perf); };
  }
  return add_op_test(std::move(test));
}

}  // namespace keyheads::test

#define REGISTER_OP(...) REGISTER_OP_AS(__LINE__, __VA_ARGS__)
#define REGISTER_OP_AS(line, ...) REGISTER_OP_IN(line, __VA_ARGS__)
#define REGISTER_OP_IN(line, ...) \
  [[maybe_unused]] static const bool registered_##line = register_op<__VA_ARGS__>();
