"""Next-token logits of a changing set of rows, over one preallocated block of keys and values.

All rows write their next token into the same column, whatever their age: a prompt that joins later ends where the others
stand, as if it were padded on the left. So any causal model of Hugging Face serves, through its ordinary forward pass.

    column   0 1 2 3 4 5 6 7 8        p prompt, c completion, . masked; the next token of both rows goes to column 8
    row 0    . p p p c c c c          attention reads columns 1 to 8: from the oldest row's first column on
    row 1    . . . . p p p c
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor
from transformers import Cache, PreTrainedModel
from transformers.cache_utils import CacheLayerMixin

from models.network.attention import is_padded, use_attention
from models.network.memory import keep_freed_memory
from models.network.tokens import pad_left, positions
from models.shapes import Float


@dataclass
class Row:
    """A completion in the making; its keys and values begin at `first_column`. `logprobs` are those that its tokens were drawn with."""

    number: int
    prompt: Sequence[int]
    tokens: list[int] = field(default_factory=list)
    logprobs: list[float] = field(default_factory=list)
    first_column: int = 0


@dataclass
class _Window:
    """The part of the block that a forward pass reads: of `rows` the columns from `start` to `end`, the last ones new."""

    num_rows: int
    num_columns: int
    dtype: torch.dtype | None
    """What keys and values are kept in; None: as they come."""
    rows: slice = field(default_factory=lambda: slice(0))
    start: int = 0
    end: int = 0
    num_past: int | Tensor = 0
    column: Tensor | None = None
    """Where the one new column is written, known to the device alone; None: the last of the window."""


class _Layer(CacheLayerMixin):
    """Keys and values of one layer."""

    is_sliding = False

    def __init__(self, window: _Window) -> None:
        super().__init__()
        self.window = window

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        shape = (self.window.num_rows, key_states.shape[1], self.window.num_columns)
        self.keys = key_states.new_zeros((*shape, key_states.shape[3]), dtype=self.window.dtype)
        self.values = value_states.new_zeros((*shape, value_states.shape[3]), dtype=self.window.dtype)
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args, **kwargs) -> tuple[Tensor, Tensor]:
        """Writes what is new and gives all that the window holds."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        window = self.window
        keys, values = (block[window.rows, :, window.start : window.end] for block in (self.keys, self.values))
        if window.column is not None:
            keys.index_copy_(2, window.column, key_states)
            values.index_copy_(2, window.column, value_states)
            return keys, values
        keys[:, :, window.num_past :] = key_states
        values[:, :, window.num_past :] = value_states
        return keys, values

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        return self.window.end - self.window.start, 0

    def get_seq_length(self) -> int | Tensor:
        return self.window.num_past

    def get_max_length(self) -> int:
        return -1


class Decoder:
    """Rows that grow by a token each step; a row may leave, and others join, between any two steps."""

    def __init__(self, model: PreTrainedModel, num_rows: int, longest_prompt: int, num_columns: int) -> None:
        """Room for `num_rows` rows at a time. Columns: for the longest prompt and its completion; when rows join later, for
        as many tokens again at least, since the columns in use then wander to the right and must be moved back."""
        use_attention(model)
        keep_freed_memory()
        self.model, self.longest_prompt = model, longest_prompt
        self.clear()
        ours = not is_padded(model)  # else masks are made that a recorded step could not make
        self._window = _Window(num_rows, num_columns, _cache_dtype(model))
        self._cache = Cache(layer_class_to_replicate=partial(_Layer, self._window))
        self._fixed_step = (
            FixedStep(model, self._cache, self._window) if ours and _launches_bound(model.device) else None
        )

    def clear(self) -> None:
        """Sends away whoever is left: the next rows join as the first ones did."""
        self.rows: list[Row] = []
        self.end = self.longest_prompt

    def has_room(self, num_rows: int, longest_prompt: int, num_columns: int) -> bool:
        """Whether it could stand for one that was made for so many."""
        window, num_new = self._window, num_columns - longest_prompt
        return (
            num_rows <= window.num_rows
            and longest_prompt <= self.longest_prompt
            and num_new <= window.num_columns - self.longest_prompt
        )

    @property
    def has_fixed_steps(self) -> bool:
        """Whether its steps are of a few sizes, which a GPU records."""
        return self._fixed_step is not None

    @property
    def num_bytes(self) -> int:
        """What its keys and values take, once rows have joined."""
        return sum(block.nbytes for layer in self._cache.layers for block in (layer.keys, layer.values))

    def join(self, rows: Sequence[Row]) -> Float[Tensor, "B V"]:
        """Adds rows and reads their prompts; gives the logits of their first tokens."""
        batch = pad_left([row.prompt for row in rows]).to(self.model.device)
        width = batch.input_ids.shape[1]
        window = self._window
        window.rows = slice(len(self.rows), len(self.rows) + len(rows))
        window.start, window.end = self.end - width, self.end
        window.num_past, window.column = 0, None
        for row in rows:
            row.first_column = self.end - len(row.prompt)
        self.rows += rows
        return _forward(self.model, self._cache, batch.input_ids, batch.is_token, positions(batch.is_token))

    def step(self) -> Float[Tensor, "B V"]:
        """Reads every row's last token; gives the logits of the next ones."""
        if self.end == self._window.num_columns:
            self._move_to_front()
        tokens = [row.tokens[-1] for row in self.rows]
        first = [row.first_column for row in self.rows]
        logits = (self._fixed_step or self._fitted_step)(tokens, first, self.end)
        self.end += 1
        return logits

    def _fitted_step(self, tokens: list[int], first: list[int], column: int) -> Float[Tensor, "B V"]:
        """A step over the rows and columns that are in use, and no others."""
        window, start, device = self._window, min(first), self.model.device
        window.rows, window.start, window.end = slice(0, len(tokens)), start, column + 1
        window.num_past, window.column = column - start, None
        first_column = torch.tensor(first, device=device).unsqueeze(1)
        is_token = torch.arange(start, column + 1, device=device) >= first_column
        input_ids = torch.tensor(tokens, device=device).unsqueeze(1)
        return _forward(self.model, self._cache, input_ids, is_token, column - first_column)

    def leave(self, places: Sequence[int]) -> None:
        """Removes the rows at these places. The last rows take their places, so that rows stay without gaps."""
        gone = set(places)
        num_left = len(self.rows) - len(gone)
        holes = [place for place in sorted(gone) if place < num_left]
        movers = [place for place in range(num_left, len(self.rows)) if place not in gone]
        if holes:
            start = min(self.rows[place].first_column for place in movers)
            for layer in self._cache.layers:
                for block in (layer.keys, layer.values):
                    block[holes, :, start : self.end] = block[movers, :, start : self.end]
        for hole, mover in zip(holes, movers, strict=True):
            self.rows[hole] = self.rows[mover]
        del self.rows[num_left:]

    def _move_to_front(self) -> None:
        """Makes room on the right, leaving as many columns on the left as the longest prompt may need."""
        start = min(row.first_column for row in self.rows)
        shift = min(start, self.end - self.longest_prompt)
        rows = slice(0, len(self.rows))
        for layer in self._cache.layers:
            for block in (layer.keys, layer.values):
                block[rows, :, start - shift : self.end - shift] = block[rows, :, start : self.end].clone()
        for row in self.rows:
            row.first_column -= shift
        self.end -= shift


class FixedStep:
    """A step that computes a fixed part of the block, used or not, so that a CUDA graph serves every step of that size.

    A small model's decoding on a GPU waits for Python to launch kernels; a replayed graph launches them all at once. There are nine sizes at most:
    all rows, half or a quarter of them, as they end, of all columns, half or a quarter, as they fill. A row that is not in use reads its own new
    token alone, so that nothing in it is ever infinite.
    """

    def __init__(self, model: PreTrainedModel, cache: Cache, window: _Window) -> None:
        self.model, self.cache, self.window = model, cache, window
        self.input_ids, self.first_column = torch.zeros((2, window.num_rows, 1), dtype=torch.long, device=model.device)
        self.column = torch.zeros(1, dtype=torch.long, device=model.device)
        self.recorded: dict[tuple[int, int], tuple[torch.cuda.CUDAGraph, Tensor]] = {}

    def __call__(self, tokens: list[int], first: list[int], column: int) -> Float[Tensor, "B V"]:
        """The next logits of the rows in use; valid until the next call."""
        size = step_size(len(tokens), self.window.num_rows), step_size(column + 1, self.window.num_columns)
        num_idle = size[0] - len(tokens)
        self.input_ids[: size[0]].copy_(torch.tensor(tokens + num_idle * [0]).unsqueeze(1))
        self.first_column[: size[0]].copy_(torch.tensor(first + num_idle * [column]).unsqueeze(1))
        self.column.fill_(column)
        if self.model.device.type != "cuda":
            return self._compute(*size)[: len(tokens)]
        if size not in self.recorded:
            self.recorded[size] = self._record(*size)
        graph, logits = self.recorded[size]
        graph.replay()
        return logits[: len(tokens)]

    def _compute(self, num_rows: int, num_columns: int) -> Float[Tensor, "R V"]:
        window = self.window
        window.rows, window.start, window.end = slice(0, num_rows), 0, num_columns
        window.num_past, window.column = self.column[0], self.column
        columns = torch.arange(num_columns, device=self.column.device)
        first_column = self.first_column[:num_rows]
        is_token = (columns >= first_column) & (columns <= self.column)
        return _forward(self.model, self.cache, self.input_ids[:num_rows], is_token, self.column - first_column)

    def _record(self, num_rows: int, num_columns: int) -> tuple[torch.cuda.CUDAGraph, Float[Tensor, "R V"]]:
        """Records the step; running it once before, on a stream of its own, lets libraries take their memory outside of it. All graphs share
        one: no two run at once, and nobody reads the logits of one after the next."""
        stream = torch.cuda.Stream()
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._compute(num_rows, num_columns)
        torch.cuda.current_stream().wait_stream(stream)
        graph = torch.cuda.CUDAGraph()
        pool = next((first.pool() for first, _ in self.recorded.values()), None)
        with torch.cuda.graph(graph, pool=pool):
            logits = self._compute(num_rows, num_columns)
        return graph, logits


def step_size(needed: int, most: int) -> int:
    """The smallest of `most`, half of it and a quarter of it that `needed` fit into."""
    return next(size for size in (-(-most // 4), -(-most // 2), most) if needed <= size)


def _cache_dtype(model: PreTrainedModel) -> torch.dtype | None:
    """On a CPU a single query is slow in bfloat16; but only our attention reads keys in another precision than the network's, and where the
    network projects what it has cached (latent attention), its own layers do."""
    is_read_by_attention = not is_padded(model) and getattr(model.config, "kv_lora_rank", None) is None
    return torch.float32 if is_read_by_attention and model.device.type == "cpu" else None


def _launches_bound(device: torch.device) -> bool:
    """Whether a step's time there is that of launching its kernels, not of computing them."""
    return device.type == "cuda"


def _forward(
    model: PreTrainedModel, cache: Cache, input_ids: Tensor, is_token: Tensor, position_ids: Tensor
) -> Float[Tensor, "B V"]:
    length = input_ids.shape[1]
    # a slice of longer rows would not be contiguous: the head would be copied once for each row
    last = 1 if length == 1 else torch.tensor([length - 1], device=input_ids.device)
    return model(
        input_ids=input_ids,
        attention_mask=is_token.long(),
        position_ids=position_ids,
        past_key_values=cache,
        use_cache=True,
        logits_to_keep=last,
    ).logits[:, -1]
