// Queries, keys and values where some heads of some rows read another value than the residual
// stream (hooks attn_in, q_input, k_input and v_input). Only these are projected a second time.
#pragma once
#include "model/sweep_phase.h"

namespace keyheads {

// Fires what is asked for at these hooks: all copies, edited.
template <class T>
void show_inputs(Graph<T>& graph, const Spec& spec, SweepPhase<T>& phase, const Var<T>& x);

template <class T>
typename Block<T>::Qkv project_edited(const Model<T>& model, Graph<T>& graph, SweepPhase<T>& phase,
                                      int64_t layer, const Var<T>& x);

}  // namespace keyheads
