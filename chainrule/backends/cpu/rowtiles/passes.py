"""One stage of a tile: blocks of features, and for each a loop over the rows."""

from __future__ import annotations

from chainrule.backends.cpu.bodies import Body
from chainrule.backends.cpu.groups import Reduction
from chainrule.backends.cpu.ir import SCALARS, Register, constant
from chainrule.backends.cpu.rowtiles.gradients import blocks
from chainrule.backends.cpu.rowtiles.rows import Access, RowGroup, RowProduct
from chainrule.backends.cpu.rowtiles.stages import Place, Stage, place
from chainrule.backends.cpu.rowtiles.tile import Index, Tile, plus
from chainrule.graph.graph import Value

Made = dict[Place, list[list[Register]]]  # by feature of the block and vector of rows


class StageEmitter:
    """Emits one stage into the function of a tile."""

    def __init__(self, tile: Tile, stage: Stage) -> None:
        self.tile = tile
        self.f = tile.f
        self.stage = stage
        self.bodies = {g: Body(self.f, g.group, g.group.all_views()) for g in stage.groups}
        # Sums of features that are complete only after several blocks.
        self.partial = stage.block < stage.features

    def emit(self) -> None:
        """All blocks."""
        if self.partial:
            self._clear_reduced()
        for first, width in blocks(self.f, self.stage.features, self.stage.block):
            self._block(first, width)

    def _clear_reduced(self) -> None:
        for group in self.stage.groups:
            for reduction, access in group.features_reduced.items():
                empty = self._neutral(group, reduction)
                line = self.tile.line(access, 0)
                with self.f.loop(0, self.tile.layout.tile, self.tile.lanes) as loop:
                    self.tile.store(empty, self._moved(line, access, loop.index), access, 0)

    def _neutral(self, group: RowGroup, reduction: Reduction) -> Register:
        number = group.group.reductions.index(reduction)
        return self.bodies[group].neutral(number, self.tile.lanes)

    def _combine(self, group: RowGroup, reduction: Reduction, x: Register, y: Register) -> Register:
        return self.bodies[group].combine(group.group.reductions.index(reduction), x, y)

    def _moved(self, line: Register, access: Access, row: Register) -> Register:
        step = constant(access.dtype.itemsize, "i64")
        return self.f.at(line, self.f.binary("mul", row, step))

    def _block(self, first: Index, width: int) -> None:
        """Some features of all rows of the tile."""
        tile, f = self.tile, self.f
        sums: list[Register] = []
        for group in self.stage.groups:
            for reduction, access in group.rows_reduced.items():
                count = width if access.step else 1
                for j in range(count):
                    position = plus(f, first, j) if access.step else 0
                    sums.append(tile.sum_at(reduction, position))
        scalars = [
            SCALARS[reduction.target.dtype.name]
            for group in self.stage.groups
            for reduction, access in group.rows_reduced.items()
            for _ in range(width if access.step else 1)
        ]
        carried = [f.load(at, s, tile.lanes) for at, s in zip(sums, scalars, strict=True)]
        span = self.stage.vectors * tile.lanes
        with f.loop(0, tile.layout.tile, span, carried) as loop:
            totals = list(loop.values)
            self._rows(first, width, loop.index, totals)
            loop.next = totals
        for at, total in zip(sums, loop.results, strict=True):
            f.store(total, at)

    def _rows(self, first: Index, width: int, row: Register, totals: list[Register]) -> None:
        """Some features of some vectors of rows."""
        stage, made = self.stage, Made()
        if stage.product is not None:
            results = self._product(stage.product, first, width, row)
            made[place(stage.product.target)] = results
            self._keep(stage.product.target, first, row, results)
        position = 0
        valid: list[Register | None] | None = None
        for group in stage.groups:
            values = self._group(group, first, width, row, made)
            for value, access in group.stores.items():
                results = [[computed[value] for computed in vectors] for vectors in values]
                made[place(access)] = results
                self._keep(access, first, row, results)
            for reduction, access in group.features_reduced.items():
                self._reduce_features(group, reduction, access, row, values, made)
            for reduction, access in group.rows_reduced.items():
                if valid is None:
                    offsets = [plus(self.f, row, v * self.tile.lanes) for v in range(stage.vectors)]
                    valid = [self.tile.is_row(o) for o in offsets if isinstance(o, Register)]
                for j in range(width):
                    at = position + (j if access.step else 0)
                    for v, mask in enumerate(valid):
                        x = values[j][v][reduction.source]
                        if mask is not None:
                            x = self.f.select(mask, x, self._neutral(group, reduction))
                        totals[at] = self._combine(group, reduction, totals[at], x)
                position += width if access.step else 1

    def _keep(
        self, access: Access, first: Index, row: Register, results: list[list[Register]]
    ) -> None:
        """Write onto lines what is read from there."""
        if access.buffer not in self.tile.layout.lines:
            return
        line = self._moved(self.tile.line(access, first), access, row)
        for j, vectors in enumerate(results):
            for v, x in enumerate(vectors):
                at = self.f.at(line, j * self.tile.step_of(access))
                self.tile.store(x, at, access, v)

    def _product(
        self, product: RowProduct, first: Index, width: int, row: Register
    ) -> list[list[Register]]:
        """The products of some features, added up in registers in the order of k."""
        tile, f, vectors, right = self.tile, self.f, self.stage.vectors, product.right
        scalar, size = SCALARS[right.dtype.name], right.dtype.itemsize
        left = self._moved(tile.line(product.left, 0), product.left, row)
        columns = Access(right.buffer, right.dtype, 0, right.strides[1], right.offset, width)
        weights = tile.number(columns, first)
        zeros = [constant(0, scalar, tile.lanes)] * (width * vectors)
        with f.loop(0, product.left.features, 1, [left, weights, *zeros]) as loop:
            a, b, *sums = loop.values
            xs = [tile.load(a, product.left, v) for v in range(vectors)]
            new = []
            for j in range(width):
                weight = f.load(f.at(b, j * right.strides[1] * size), scalar)
                spread = f.splat(weight, tile.lanes)
                new += [f.fma(spread, x, sums[j * vectors + v]) for v, x in enumerate(xs)]
            loop.next = [
                f.at(a, tile.step_of(product.left)),
                f.at(b, right.strides[0] * size),
                *new,
            ]
        results = loop.results[2:]
        return [results[j * vectors : (j + 1) * vectors] for j in range(width)]

    def _group(
        self, group: RowGroup, first: Index, width: int, row: Register, made: Made
    ) -> list[list[dict[Value, Register]]]:
        """The values of a group's nodes by feature and vector."""
        leaves = {
            value: made.get(place(access)) or self._read(access, first, width, row)
            for value, access in group.leaves.items()
        }
        result = []
        for j in range(width):
            vectors = []
            for v in range(self.stage.vectors):
                values = {value: loaded[j][v] for value, loaded in leaves.items()}
                self.bodies[group].compute(values, self.tile.lanes)
                vectors.append(values)
            result.append(vectors)
        return result

    def _read(
        self, access: Access, first: Index, width: int, row: Register
    ) -> list[list[Register]]:
        tile, f, vectors = self.tile, self.f, range(self.stage.vectors)
        count = width if access.step else 1
        if access.pitch:
            line = self._moved(tile.line(access, first), access, row)
            step = tile.step_of(access)
            places = [f.at(line, j * step) for j in range(count)]
            found = [[tile.load(at, access, v) for v in vectors] for at in places]
        else:
            at, step = tile.number(access, first), access.step * access.dtype.itemsize
            found = []
            for j in range(count):
                number = f.load(f.at(at, j * step), SCALARS[access.dtype.name])
                found.append([f.splat(number, tile.lanes)] * len(vectors))
        return found if access.step else found * width

    def _reduce_features(
        self, group: RowGroup, reduction: Reduction, access: Access, row: Register,
        values: list[list[dict[Value, Register]]], made: Made,
    ) -> None:  # fmt: skip
        """Combine the features of each row, with those of blocks before if there are any."""
        line = None
        if access.buffer in self.tile.layout.lines:
            line = self._moved(self.tile.line(access, 0), access, row)
        totals = []
        for v in range(self.stage.vectors):
            if self.partial and line is not None:
                total = self.tile.load(line, access, v)
            else:
                total = self._neutral(group, reduction)
            for feature in values:
                total = self._combine(group, reduction, total, feature[v][reduction.source])
            if line is not None:
                self.tile.store(total, line, access, v)
            totals.append(total)
        if not self.partial:
            made[place(access)] = [totals] * len(values)
