"""What a single state can still gain, holding the policy at all other states fixed.

In an ordinary Markov decision process a policy that no single state can improve is optimal (Bellman). With a
policy-dependent cost and no budget in the state it need not be: what s_0 spends is missing at s_1, and
neither state alone can move the budget from one to the other.
"""

import numpy as np

from evaluation.theory.kl_cost import best_in_ball
from evaluation.theory.problem import Array, Policy, Problem, cumulative_costs, evaluate, kl_per_state


def replaced(policy: Policy, t: int, state: int, distribution: Array) -> Policy:
    """``policy`` with another distribution (k,) at one state of depth t."""
    steps = [step.copy() for step in policy]
    steps[t][state] = distribution
    return tuple(steps)


def single_state_gain(problem: Problem, policy: Policy, n: float) -> float:
    """Largest rise of the penalised value by changing one state's distribution (two tokens, KL cost).

    Tries a grid over the probability of token 0. The value is piecewise linear in it and breaks where a
    trajectory meets its cap, so what is tried besides are the points of the KL balls that use up each
    trajectory's slack.
    """
    current = evaluate(problem, policy).objective(n)
    best = current
    for t, step in enumerate(policy):
        for state in range(len(step)):
            for p in [*np.linspace(0, 1, 2001), *_slack_points(problem, policy, t, state)]:
                changed = replaced(policy, t, state, np.array([p, 1.0 - p]))
                best = max(best, evaluate(problem, changed).objective(n))
    return best - current


def _slack_points(problem: Problem, policy: Policy, t: int, state: int) -> list[float]:
    """Probabilities of token 0 at which a trajectory through the state exactly exhausts its cap."""
    k, mu = problem.tokens, problem.teacher[t][state : state + 1]
    own = float(kl_per_state(policy[t][state : state + 1], mu)[0])
    points = []
    for later, (spent, cap) in enumerate(zip(cumulative_costs(problem, policy), problem.caps, strict=True)):
        if later <= t:
            continue
        width = k ** (later - t)
        slack = np.unique(cap - spent[state * width : (state + 1) * width] + own)
        for radius in slack[slack >= 0]:
            for values in ([[1.0, 0.0]], [[0.0, 1.0]]):
                points.append(float(best_in_ball(np.array(values), mu, np.array([radius]))[0][0, 0]))
    return points
