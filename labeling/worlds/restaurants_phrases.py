"""How people say the attributes of the restaurant world: regular expressions over text as `folded` writes it.

The values are those of the E2E NLG Challenge (Novikova et al. 2017). A price or rating has three levels, each with two values: a word and a
number. What stands here was written from the data's attributes and from what people wrote to them.
"""

import re

NAMES = (
    *(
        "Alimentum",
        "Aromi",
        "Bibimbap House",
        "Blue Spice",
        "Browns Cambridge",
        "The Cambridge Blue",
        "Clowns",
        "Cocum",
    ),
    *("Cotto", "The Cricketers", "The Dumpling Tree", "The Eagle", "Fitzbillies", "Giraffe", "The Golden Curry"),
    *("The Golden Palace", "Green Man", "Loch Fyne", "Midsummer House", "The Mill", "The Olive Grove", "The Phoenix"),
    *("The Plough", "The Punter", "Strada", "Taste of Cambridge", "The Twenty Two", "Travellers Rest Beefeater"),
    *("The Vaults", "The Waterman", "Wildwood", "The Wrestlers", "Zizzi"),
)
NEIGHBOURS = (
    *(
        "All Bar One",
        "Avalon",
        "The Bakers",
        "Burger King",
        "Café Adriatic",
        "Café Brazil",
        "Café Rouge",
        "Café Sicilia",
    ),
    *("Clare Hall", "Crowne Plaza Hotel", "Express by Holiday Inn", "The Portland Arms", "Rainbow Vegetarian Café"),
    *("Raja Indian Cuisine", "Ranch", "The Rice Boat", "The Six Bells", "The Sorrento", "Yippee Noodle Bar"),
)
SHORTER = {
    "Crowne Plaza Hotel": r"crowne? ?plaza(?: hotel)?",
    "Express by Holiday Inn": r"(?:express (?:by )?(?:the )?holiday inn|holiday inn express|holiday inn)",
    "Rainbow Vegetarian Café": r"rainbow(?: vegetarian)?(?: cafe)?",
    "Raja Indian Cuisine": r"raja'?s?(?: indian)?(?: cuisine| restaurant)?",
}
"""Places that people name by a part of their name."""

_POUNDS = r"(?:£|gbp ?|l )?"
_PRICED = r"\bpric\w+ (?:range )?(?:is |are |of |that is |in the |on the )?(?:the )?(?:very |quite |rather |fairly )?"
PRICES = {
    "low": (
        rf"(?:less than|under|below|lower than|cheaper than|up to|at most|not more than|no more than|sub) {_POUNDS}20\b",
        r"\bcheap(?:ly|er)?\b|\binexpensive(?:ly)?\b|\baffordabl[ey]\b|\bbudget\b|\beconomical(?:ly)?\b",
        r"\blow(?:er|ly)?[ -]?(?:pric|cost|budget|end pric)\w*|\blow (?:in )?pric\w*|\bnot (?:very |too )?expensive\b",
        rf"{_PRICED}low\b",
    ),
    "medium": (
        rf"{_POUNDS}20(?: to | and |-| through ){_POUNDS}25\b",
        r"\bmoderate(?:ly)?\b|\bm(?:id|iddle|iddling|edium)[ -]?(?:range|pric|cost)\w*",
        r"\b(?:averagely|average|reasonabl[ey]|fairly|fair|decently|decent|standard|normal|ordinary)[ -]pric\w*",
        rf"{_PRICED}(?:average|moderate|reasonable|medium)\b",
    ),
    "high": (
        rf"(?:more than|over|above|higher than|upwards of|at least|excess of|greater than|starting at|from) {_POUNDS}30\b",
        rf"{_POUNDS}30 (?:and up|or more|plus)",
        r"\bexpensive(?:ly)?\b|\bprice?y\b|\bcostly\b|\bupscale\b|\bhigh[ -]end\b|\bpremium pric\w*|\bhigh dollar\w*",
        r"\bhigh(?:er|ly)?[ -]?(?:end )?(?:pric|cost)\w*|\bhigh in price\b",
        rf"{_PRICED}high(?:er|ly)?\b(?! rat| custom)",
    ),
}
PRICE_OF = {
    **{"cheap": "low", "less than £20": "low", "moderate": "medium", "£20-25": "medium"},
    **{"high": "high", "more than £30": "high"},
}
AMOUNTS = {"less than £20": r"20\b", "£20-25": r"25\b", "more than £30": r"30\b"}
"""Prices in pounds, and what a text has that states them and not their level alone."""

_RATED = (
    r"(?:customers?'?s? |guests? |consumers? |user |star |overall |average )*"
    r"(?:rat(?:ed?|ings?)|reviews?|reviewed|satisfaction|scores?|feedback|recommended|recommendations?|approval|regarded|acclaimed|praised?)"
)
_BETWEEN = (
    r"(?: (?:it|is|are|was|of|as|its|being|at|with|a|an|the|by customers|by its customers|very|only|to be|from customers|has been|have been"
    r"|rating|fairly|quite|rather|just|this \w+|the \w+))*"
)


def _graded(words: str) -> str:
    before = rf"\b(?:{words})[ -](?:customers?|consumer)?[ -]?{_RATED}"
    return rf"{before}|\b{_RATED}{_BETWEEN} (?:{words})\b(?! pric| cost)"


_OF_FIVE = r"[ -]?(?:out of|of|over|/|in) ?5\b"
STARS = {
    level: rf"\b[{numbers}]{_OF_FIVE}|(?<!of )\b[{numbers}][ -]?stars?\b"
    for level, numbers in (("low", "12"), ("medium", "3"), ("high", "45"))
}
RATINGS = {
    "low": _graded(
        "low|lower|lowest|lowly|poor|poorly|bad|badly|terrible|horrible|negative|unfavorable|weak|not very good|not good|not well"
    ),
    "medium": _graded(
        "average|averagely|mediocre|moderate|moderately|middling|okay|ok|decent|medium|mid|fair|fairly|mixed|satisfactory|reasonable"
    ),
    "high": _graded(
        "high|highly|higher|highest|excellent|great|good|top|best|well|perfect|superb|exceptional|outstanding|positive|favorable|rave|very good"
        "|very high|fantastic|wonderful|maximum"
    ),
}
RATING_OF = {
    **{"low": "low", "1 out of 5": "low", "average": "medium", "3 out of 5": "medium"},
    **{"high": "high", "5 out of 5": "high"},
}
FOODS = {
    "Chinese": r"\bchinese\b|\bchina\b",
    "English": r"\benglish\b|\bbritish\b|\bengland\b|\bfish and chips\b",
    "Italian": r"\bitalian\b|\bitaly\b|\bpasta\b|\bpizza\b|\bspaghetti\b",
    "French": r"\bfrench\b|\bfrance\b",
    "Indian": r"\bindian\b|\bindia\b|\bcurr(?:y|ies)\b",
    "Japanese": r"\bjapanese\b|\bjapan\b|\bsushi\b",
    "Fast food": r"\bfast[ -]?food|\bburgers?\b|\bfries\b|\bquick food\b",
}
KINDS = {
    "pub": r"\bpubs?\b|\bbar\b|\btavern\b|\binn\b|\bale ?house\b|\bpublic house\b",
    "coffee shop": r"\bcoffee\b|\bcafes?\b|\bcoffeehouse\b",
    "restaurant": r"\brestaurants?\b|\beater(?:y|ies)\b|\bdiner\b|\bbistro\b",
}
AREAS = {
    "riverside": r"\briver ?-?(?:sides?|bank|front)?\b|\bwater(?:front|side)\b|\bthames\b|\bcam\b",
    "city centre": (
        r"\bcity(?:'?s)?[ -]?(?:centre|center)s?\b|\b(?:centre|center|heart|middle|core) (?:of |in )?(?:the |a )?(?:city|town)\b"
        r"|\btown (?:centre|center)\b|\bdowntown\b|\bcentral(?:ly)?\b|\binner city\b|\bcentre\b|\bin (?:the )?city\b"
    ),
}
_CHILDREN = r"(?:famil(?:y|ies)|kids?'?s?|child(?:ren)?'?s?|youngsters|young ones|minors|infants|toddlers|little ones)"
_WHOLE = r"(?:the |your |a |all |any |young )*(?:whole |entire )?"
WELCOME = (
    rf"\b{_CHILDREN}[ -]?(?:and (?:kid|child|family)s? )?-?friendl(?:y|iness)\b",
    rf"\bfriendly (?:to|for|towards?|with) (?:the )?(?:{_CHILDREN}|whole family|all ages)\b",
    rf"\b{_CHILDREN} (?:(?:are|is|were|being|will be|to be) )?(?:\w+ )?(?:welcome\w*|allowed|permitted|accepted|catered|suitable)\b",
    rf"\b(?:welcom\w+|allow\w*|accept\w*|permit\w*|cater\w*(?: to| for)?|admit\w*|encourag\w+|invit\w+) (?:of |to |in )?{_WHOLE}{_CHILDREN}\b",
    rf"\b(?:suitable|good|great|perfect|appropriate|ideal|fun|fit|recommended|suited|place|environment|atmosphere|oriented|options?|menu|meant|open"
    rf"|designed|safe|nice|excellent|best) (?:\w+ )?(?:for|to) {_WHOLE}{_CHILDREN}\b",
    rf"\bfor (?:the |your |all the )?(?:whole |entire )?famil(?:y|ies)\b|\bbring {_WHOLE}{_CHILDREN}\b|\bfor {_CHILDREN}\b|\ball ages\b",
    rf"\b{_CHILDREN}[ -]?(?:oriented|orientated|style|based|appropriate|suitable|centered|welcoming|restaurant|pub|coffee shop|place|environment"
    r"|atmosphere|establishment|venue|eatery|dining)\b",
    rf"\b(?:has|have|with|wants?|like[sd]?|serves?|take|having) {_CHILDREN}\b",
)
"""That families are welcome, unless it is denied."""
ADULTS_ALONE = (
    r"\badults?[ -](?:only|oriented|orientated|exclusive|centered|friendly|establishment|venue|environment|dining)\b",
    r"\b(?:only|exclusively|just|strictly) (?:for )?adults?\b|\bfor adults\b|\badult (?:pub|restaurant|coffee shop|crowd|place|atmosphere)\b",
    rf"\b{_CHILDREN}[ -]free\b|\b(?:un|non)-?{_CHILDREN}\b|\bno {_CHILDREN}\b(?! price)|\bunfriendly\b|\bnot? (?:an? )?{_CHILDREN}\b",
    rf"\bdiscourag\w+ (?:\w+ )?{_CHILDREN}\b|\bwithout {_CHILDREN}\b|\b{_CHILDREN} (?:are |is )?(?:prohibited|banned|forbidden)\b",
    rf"\bdon ?\W?t (?:bring|take|allow) {_WHOLE}{_CHILDREN}\b",
)
"""That they are not."""
DENIED = re.compile(
    r"(?:\b(?:not|non|no|never|nor|neither|isnt|arent|doesnt|dont|isn't|aren't|doesn't|don't|cannot|can't|won't|without|lacks?|lacking|hardly|isn t"
    r"|doesn t|less than|anti)\b|\bn't)[ -]*(?:\w+[ -]+){0,4}$"
)
"""A denial close before the end of a text."""
NEW_CLAUSE = re.compile(r"[.!?;|]|\bbut\b|\bhowever\b|, (?:and|which|it|is)\b")
