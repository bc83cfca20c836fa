"""Vocabularies that benign and campaign prompts share, so that their wording overlaps as it does in life.

Invention, all of it; the kinds of things asked about follow the public prompt collections.
Entries are separated by `|`; the grammar skews towards the front of each list.
"""

from __future__ import annotations

from typing import Final

TOPIC: Final = (
    "inflation|black holes|photosynthesis|the French Revolution|intermittent fasting|machine learning|mortgages|anxiety|"
    "the Roman Empire|climate change|blockchain|vitamin D|index funds|quantum computing|the immune system|sourdough bread|"
    "supply and demand|plate tectonics|the stock market|renewable energy|sleep hygiene|DNA replication|the Cold War|"
    "artificial intelligence|compound interest|marathon training|the water cycle|credit scores|stoicism|neural networks|"
    "migraine|the Industrial Revolution|tax brackets|general relativity|antibiotics|imposter syndrome|volcanoes|gut health|"
    "option pricing|the Renaissance|home insulation|solar panels|depression|cell division|the electoral college|magnesium|"
    "burnout|game theory|heat pumps|electric cars|gerunds|the Treaty of Versailles|osmosis|venture capital|ADHD|fermentation|"
    "the carbon cycle|gravity|bees|minimalism|standard deviation|Bayesian statistics|habit formation|caffeine|the Ottoman Empire|"
    "tidal locking|zoning laws|probate|Kant's ethics|the Silk Road|hypothyroidism|bond yields|urban heat islands|rhetoric|"
    "graph theory|espresso|sciatica|the subjunctive|composting|tariffs|existentialism|CRISPR|aquaponics|sonnets|the Marshall Plan|"
    "monsoons|type 2 diabetes|bird migration|prime numbers|opportunity cost|the Doppler effect|iambic pentameter|entropy|"
    "cognitive dissonance|desalination|kimchi|coral bleaching|isotopes|ancient Egypt|pension funds|the trolley problem|glaciers|"
    "orchids|microplastics|chess openings|jet lag|rent control|watercolour|the Krebs cycle|options trading|negotiation|haiku|"
    "retrograde motion|soil acidity|the Enlightenment|noise cancellation|sleep apnoea|eigenvalues|the gold standard|mushrooms|"
    "attachment styles|carbon dating|lithium batteries|feng shui|the Hundred Years' War|superconductors|lactose intolerance|"
    "copyright|tectonic uplift|the Bretton Woods system|string theory|beekeeping|permafrost|dark matter|knitting|allergies|"
    "the Meiji Restoration|Fourier series|moral hazard|hydroponics|kidney stones|crossbreeding|the placebo effect|rainwater harvesting"
)
PERSON: Final = (
    "a ten year old|a beginner|my grandmother|a high school student|my boss|a five year old|someone without a background in it|"
    "a first-year student|a client|my team|a non-native speaker|an investor|my kids|a nurse|a teacher|a new hire|a sceptic|a colleague"
)
CITY: Final = (
    "London|Paris|Tokyo|New York|Berlin|Rome|Lisbon|Barcelona|Chicago|Mumbai|Toronto|Istanbul|Bangkok|Madrid|Vienna|Seoul|Kyoto|"
    "Amsterdam|Prague|Athens|Dublin|Sydney|Mexico City|Lima|Cape Town|Porto|Hanoi|Oslo|Krakow|Marrakesh|Naples|Edinburgh|Bali|"
    "Reykjavik|Buenos Aires|Nairobi|Seville|Denver|Montreal|Hamburg|Osaka|Lyon|Valencia|Split|Tallinn|Bologna|Ghent|Austin"
)
NAME: Final = (
    "Maria|James|Wei|Anna|Mohammed|Sofia|David|Priya|John|Elena|Lucas|Fatima|Sarah|Hiroshi|Emma|Carlos|Aisha|Tom|Yuki|Nina|"
    "Peter|Laura|Omar|Julia|Kofi|Ingrid|Mateo|Chloe|Raj|Olga|Ben|Camila|Ahmed|Grace|Diego|Mei|Hannah|Ivan|Zoe|Samuel|Leila|"
    "Noah|Amara|Felix|Rosa|Viktor|Isla|Jonas|Tariq|Ada"
)
LANGUAGE: Final = "Python|JavaScript|TypeScript|Java|C++|C#|Go|Rust|SQL|PHP|Kotlin|Swift|Ruby|Bash|R|Scala|MATLAB|Dart|Perl|Haskell|Lua|Julia|Elixir"
LIBRARY: Final = (
    "pandas|React|numpy|Django|FastAPI|Spring Boot|Next.js|Flask|PyTorch|Express|Tailwind|Docker|Kubernetes|SQLAlchemy|Vue|"
    "Selenium|Redis|Angular|Postgres|matplotlib|Terraform|scikit-learn|Node|MongoDB|TensorFlow|Kafka|GraphQL|Svelte|Laravel|"
    "Airflow|asyncio|Spark|Celery|JUnit|Prisma|Polars|OpenCV|gRPC|Ansible|Playwright|Qt|Unity|Flutter|Rails|Hibernate|RabbitMQ|"
    "Elasticsearch|pytest|webpack|LangChain|Nginx|Pydantic|Streamlit|Three.js|Electron|Godot|jq|systemd|Helm|Vite"
)
CODE_THING: Final = (
    "a list of dictionaries|a CSV file|a binary search tree|a linked list|user authentication|a REST endpoint|a JSON response|"
    "a login form|a date range|a regular expression|a queue|a matrix|a file upload|pagination|a shopping cart|a cache|a graph|"
    "a text file|a string|a stack|an image|a rate limiter|a websocket connection|a priority queue|a scheduler|an inventory|"
    "a bank account|a to-do list|a trie|a hash map|a log file|an XML document|a unit test|a parser|a heap|a sudoku board|"
    "a sliding window|a message queue|a chat room|a payroll|an email address|a polynomial|a spreadsheet|a directory tree|"
    "a temperature table|a playlist|a dependency graph|a tokenizer|a connection pool|a retry policy|a bloom filter|a state machine|"
    "a weather feed|a calendar|a ledger|a phone book|a music library|an event loop|a thread pool|a maze|a ring buffer|"
    "a prime sieve|a tic-tac-toe game|a currency converter|a voting system|a URL shortener|a diff|a sparse matrix|a quiz|a leaderboard"
)
CODE_ACTION: Final = (
    "sort|parse|validate|filter|reverse|merge|count the duplicates in|convert|search|flatten|serialize|group|find the maximum of|"
    "iterate over|remove duplicates from|split|update|store|compare|test|refactor|traverse|encrypt|paginate|render|compress|clone|"
    "cache|benchmark|deduplicate|rotate|balance|shuffle|stream|index|tokenize|lock|summarise|diff|visualise|migrate|log|mock"
)
ERROR: Final = (
    "TypeError: 'NoneType' object is not subscriptable|KeyError: 'id'|undefined is not a function|NullPointerException|"
    "ModuleNotFoundError: No module named 'requests'|CORS policy error|IndexError: list index out of range|segmentation fault|"
    "ECONNREFUSED 127.0.0.1:5432|SyntaxError: invalid syntax|Cannot read properties of undefined (reading 'map')|"
    "ValueError: could not convert string to float|permission denied (publickey)|exit code 137|deadlock detected|"
    'borrowed value does not live long enough|relation "users" does not exist|certificate verify failed|413 Payload Too Large|'
    "Too many re-renders|RecursionError: maximum recursion depth exceeded|out of memory|EADDRINUSE: address already in use|"
    "expected str, bytes or os.PathLike object, not int|ImportError: attempted relative import|504 Gateway Timeout"
)
FIELD: Final = (
    "customer support|healthcare|real estate|e-commerce|insurance|education|logistics|banking|hospitality|recruiting|manufacturing|"
    "retail|law|travel|telecom|gaming|energy|agriculture|media|pharma|automotive|construction|fitness|public transport|non-profits|"
    "cyber security|fashion|food delivery|property management|accounting|biotech|shipping|ticketing|utilities|advertising|museums"
)
PRODUCT: Final = (
    "running shoes|a coffee machine|wireless headphones|a standing desk|a yoga mat|a phone case|hiking boots|a backpack|a blender|"
    "an office chair|a smart watch|a rain jacket|skin cream|a bike lock|a desk lamp|a tent|a water bottle|a keyboard|a monitor|"
    "a baby stroller|dog food|a vacuum cleaner|an air fryer|sunglasses|a mattress|a drill|a router|a toaster|a suitcase|a guitar"
)
THING: Final = (
    "invoice|contract|meeting|report|delivery|order|refund|subscription|account|login page|password reset|shipment|appointment|"
    "warranty|receipt|dashboard|export|price|discount code|booking|server|update|mobile app|statement|proposal|schedule|ticket|"
    "notification|form|payment|address change|upgrade|licence|sensor|batch|audit|rota|manual|survey|newsletter"
)
ADJECTIVE: Final = (
    "late|broken|missing|wrong|slow|unclear|damaged|excellent|expensive|helpful|confusing|empty|cancelled|duplicated|perfect|"
    "outdated|incomplete|unavailable|disappointing|fine|fast|stuck|blocked|overdue|unreadable|cheaper|locked|corrupt"
)
VERB: Final = (
    "arrived|failed|was cancelled|never came|changed|stopped working|was approved|was rejected|disappeared|was delayed|improved|"
    "was charged twice|expired|came back|was renewed|got lost|was replaced|was signed|went up|went down|was moved|opened again"
)
