# SPDX-License-Identifier: Apache-2.0
"""DuckDB for tests: the library that tests/lib/duckdb.sh finds, and files written by it. Nothing of the code under test is used."""

import ctypes
import functools
import os
import subprocess

import fkvtest


@functools.lru_cache(maxsize=1)
def library_path():
    """The path of libduckdb.so; the first call of a machine may fetch it."""
    script = os.path.join(fkvtest.ROOT, "tests", "lib", "duckdb.sh")
    done = subprocess.run([script], capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"tests/lib/duckdb.sh: {done.returncode}\n{done.stderr}"
    return done.stdout.strip()


class Result(ctypes.Structure):
    _fields_ = [("counts", ctypes.c_uint64 * 3), ("columns", ctypes.c_void_p), ("error", ctypes.c_char_p),
                ("data", ctypes.c_void_p)]


class Duck:
    """A database in memory that runs statements: with Duck() as duck: duck.run("COPY ... TO ...")."""

    def __init__(self):
        self.lib = ctypes.CDLL(library_path())
        self.lib.duckdb_result_error.restype = ctypes.c_char_p
        self.lib.duckdb_value_varchar.restype = ctypes.c_char_p
        self.lib.duckdb_value_varchar.argtypes = [ctypes.POINTER(Result), ctypes.c_uint64, ctypes.c_uint64]
        self.database = ctypes.c_void_p()
        self.connection = ctypes.c_void_p()
        assert self.lib.duckdb_open(None, ctypes.byref(self.database)) == 0
        assert self.lib.duckdb_connect(self.database, ctypes.byref(self.connection)) == 0

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.lib.duckdb_disconnect(ctypes.byref(self.connection))
        self.lib.duckdb_close(ctypes.byref(self.database))

    def run(self, sql):
        """Runs it; returns the first value of the first row as text, or None."""
        result = Result()
        failed = self.lib.duckdb_query(self.connection, sql.encode(), ctypes.byref(result))
        try:
            if failed:
                raise RuntimeError(self.lib.duckdb_result_error(ctypes.byref(result)).decode())
            return self.lib.duckdb_value_varchar(ctypes.byref(result), 0, 0)
        finally:
            self.lib.duckdb_destroy_result(ctypes.byref(result))
