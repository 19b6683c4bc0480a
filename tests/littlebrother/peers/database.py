# Answers queries on a sqlite database: one line of JSON in (an SQL text), one out (rows as objects, or an error).
import json
import sqlite3
import sys

connection = sqlite3.connect(sys.argv[1], timeout=20, isolation_level=None)
connection.row_factory = sqlite3.Row
for line in sys.stdin:
    try:
        answer = [dict(row) for row in connection.execute(json.loads(line)).fetchall()]
    except sqlite3.Error as error:
        answer = {"error": str(error)}
    print(json.dumps(answer), flush=True)
