"""Where a network's dropout is, and how it is switched on alone: found by its kind, and by trying what is unknown."""

import contextlib

import torch
from torch import nn
from torch.nn.modules.batchnorm import _NormBase
from torch.nn.modules.dropout import _DropoutNd

TRIES = 10  # of a network that draws random numbers: a mask of a small rate may leave a small batch as it is


def acts(module):
    """Whether torch's own module drops in training mode: dropout layers, stacked recurrent layers, attention."""
    if isinstance(module, nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1  # it drops between its layers
    rate = {_DropoutNd: "p", nn.MultiheadAttention: "dropout"}
    return any(isinstance(module, kind) and getattr(module, name) > 0 for kind, name in rate.items())


def hooked(module):
    """Whether somebody's hooks run before or after the module."""
    return bool(module._forward_hooks or module._forward_pre_hooks)


def is_own(module):
    """Whether code that is not torch's runs in the module: functional dropout shows in nothing but what it does."""
    kinds = [kind.__module__ for kind in type(module).__mro__]
    torchs = all(kind.startswith(("torch.", "builtins")) and not kind.startswith("torch.jit") for kind in kinds)
    return "forward" in vars(module) or not torchs


def may_drop(module):
    """Whether the module itself drops in training mode, or runs code that may."""
    return acts(module) or is_own(module) or hooked(module)


def unknown(model):
    """The modules of `model` that may drop although none of their kind is known to."""
    return [m for m in model.modules() if (is_own(m) or hooked(m)) and not isinstance(m, _NormBase)]


def stacks(model):
    """Whether several passes may run as one large batch: only torch's layers, and none that mixes or shares rows."""
    return not any(is_own(m) or isinstance(m, nn.RNNBase | nn.MultiheadAttention) for m in model.modules())


@contextlib.contextmanager
def training(modules):
    """Only these modules, not their children, in training mode; in evaluation mode on leaving."""
    try:
        for module in modules:
            module.training = True
        yield
    finally:
        for module in modules:
            module.training = False


@contextlib.contextmanager
def kept_buffers(model):
    """What is tried inside leaves the buffers of `model` as they were."""
    kept = [(m, name, b, b.clone()) for m in model.modules() for name, b in m.named_buffers(recurse=False)]
    try:
        yield
    finally:
        for module, name, buffer, before in kept:
            setattr(module, name, buffer.copy_(before))


def is_random(model, batch, modules=()):
    """Whether `model`, in evaluation mode but for `modules`, gives a batch more than one output."""

    def output():
        with kept_buffers(model):
            return model(batch.clone())

    with training(modules):
        state = torch.get_rng_state()
        first = output()
        tries = TRIES if batch.is_cuda or not torch.equal(state, torch.get_rng_state()) else 2
        return any(_differ(first, output()) for _ in range(tries - 1))


def _differ(first, second):
    """Whether two outputs differ by more than rounding; whatever is no tensor is compared by its parts."""
    if isinstance(first, tuple | list):
        return any(map(_differ, first, second))
    near = {"rtol": 1e-4, "atol": 1e-6, "equal_nan": True}
    return torch.is_tensor(first) and not torch.allclose(first, second, **near)


def refuse_random(model, batch):
    """ValueError if `model` is random in evaluation mode; it names the innermost module that adds to it."""
    if not is_random(model, batch):
        return
    runs, begun, names = [], [], {module: name for name, module in model.named_modules()}

    def ended(module, _, output):
        runs[-1].append((module, begun.pop(), _copied(output)))

    hooks = [m.register_forward_pre_hook(lambda _, inputs: begun.append(_copied(inputs))) for m in names]
    hooks += [m.register_forward_hook(ended) for m in names]
    try:
        for _ in range(TRIES):
            runs.append([])
            model(batch.clone())
    finally:
        for hook in hooks:
            hook.remove()
    calls = zip(*runs, strict=False)
    adds = (
        module
        for (module, inputs, output), *others in calls
        if any(_differ(output, other) and not _differ(inputs, given) for _, given, other in others)
    )
    module = next(adds, model)
    place = f"{names[module]} ({type(module).__name__})" if names[module] else type(module).__name__
    raise ValueError(f"{place} is random in evaluation mode, too: its dropout or noise cannot be switched off")


def _copied(output):
    if isinstance(output, tuple | list):
        return [_copied(part) for part in output]
    return output.clone() if torch.is_tensor(output) else None


def switches(model, batch):
    """The modules of `model` to put in training mode, so that dropout is on and nothing else; children not included.

    Those that hold a dropout of a known kind; where there are unknown ones, which may drop by the flag of any module,
    all the others, too. Not those that would change their buffers (batch norms, also of somebody's own) or the form of
    the output. Raises ValueError naming such a module with which the output is random: its dropout cannot be switched
    on alone.
    """
    may = unknown(model)
    norms = [m for m in model.modules() if isinstance(m, _NormBase)]
    known = [m for m in model.modules() if any(map(acts, m.modules())) and m not in norms]
    if not any(map(may_drop, may + norms)):
        return known
    kept = {*known, *may, *norms}
    others = [m for m in model.modules() if m not in kept and not isinstance(m, nn.RReLU)]  # which is random by itself
    found = list(dict.fromkeys([*known, *may, *others]))
    more = []
    if not _only_drops(model, batch, found):
        tried = may if _only_drops(model, batch, others) else may + others
        more = [m for m in tried if not _only_drops(model, batch, [m])]
    two = torch.cat([batch, batch])  # a batch norm in training mode refuses a single image
    for module in more + (norms if is_random(model, two, norms) else []):
        if is_random(model, two, [module]):
            raise ValueError(
                f"the dropout of {type(module).__name__} cannot be switched on alone: in training mode it changes its "
                "buffers or the form of its output; use nn.Dropout modules, or split it into several modules"
            )
    return [module for module in found if module not in more]


def steps_without(model, batch, deterministic, stochastic, switches):
    """How many steps of `deterministic` there are before the first that drops with `switches` in training mode.

    The two nn.Sequentials are the steps of `model`. All are tried at once, and one after the other if that is random.
    """
    switches, steps = set(switches), list(deterministic)
    around = switches - {*deterministic.modules(), *stochastic.modules()}  # containers of steps

    def drop(count):
        return is_random(model, batch, around | switches.intersection(nn.Sequential(*steps[:count]).modules()))

    if not unknown(model) or not drop(len(steps)):
        return len(steps)
    return next((i for i in range(len(steps)) if drop(i + 1)), 0)


def _only_drops(model, batch, modules):
    """Whether these modules in training mode leave all buffers, and the output's form, as they are."""
    before, form = [buffer.clone() for buffer in model.buffers()], model(batch.clone()).shape
    with training(modules):
        output = model(batch.clone())
    same = all(map(torch.equal, before, model.buffers()))
    return same and torch.is_tensor(output) and output.shape == form
