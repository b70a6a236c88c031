"""Epochly beside ProcessPoolExecutor, Ray and Dask, on the same work in the same run. `./dev bench` runs it."""
