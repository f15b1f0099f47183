"""uvicorn and FastAPI as they come, for comparison: a health check, and a request that waits as long as a dropped connect."""

import asyncio
import sys

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.get("/livez")
async def livez() -> str:
    return "ok"


@app.post("/v1/diagnoses")
async def wait() -> str:
    await asyncio.sleep(1.0)
    return "waited"


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="error", access_log=False)
